//! What the system offers: ALSA with its plugins, which lead to PulseAudio and PipeWire too, and JACK where its server runs.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{Device, DeviceDirection, Host};
use crossbeam::channel::bounded;

use super::Direction;
use crate::events;
use crate::report;

/// How long a sound server gets to answer before the program says that it does not.
// PulseAudio started by the first client that asks takes one to two seconds on a slow machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A device of a list.
struct Listed {
    direction: Direction,
    name: String,
    is_default: bool,
}

/// The system's usual sound.
fn default_host() -> Host {
    silence_libraries();
    cpal::default_host()
}

/// JACK without ALSA in between, if its library is installed and its server runs.
#[cfg(target_os = "linux")]
fn jack_host() -> Option<Host> {
    // Without the library every call into it panics.
    jack::jack_sys::library().ok()?;
    // Has no devices where no server runs; cpal starts none.
    cpal::host_from_id(cpal::HostId::Jack).ok()
}

#[cfg(not(target_os = "linux"))]
fn jack_host() -> Option<Host> {
    None
}

/// Keeps the libraries of ALSA and JACK from writing to stderr: what went wrong comes as an error, too.
fn silence_libraries() {
    #[cfg(target_os = "linux")]
    {
        // ALSA's handler is one of the thread that sets it; what it takes is never read.
        alsa::Output::local_error_handler().ok();
        // Also for ALSA's JACK plugin, which uses the same library.
        if jack::jack_sys::library().is_ok() {
            jack::set_logger(jack::LoggerType::None);
        }
    }
}

/// Runs `work` on a thread of its own and waits for its result as long as a server gets to answer.
fn ask_server<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = bounded(1);
    // Nobody listens any more when it comes too late; the thread ends with the program.
    std::thread::spawn(move || sender.send(work()).ok());
    receiver
        .recv_timeout(PATIENCE)
        .map_err(|_| anyhow!("the sound server does not answer within {} seconds", PATIENCE.as_secs()))?
}

/// Prints the devices of these directions.
pub(crate) fn list_devices(directions: &[Direction], json: bool) -> Result<()> {
    let asked = directions.to_vec();
    let listed = ask_server(move || {
        let host = default_host();
        let mut listed = Vec::new();
        for direction in asked {
            let fail = |e: cpal::Error| anyhow!("sound devices cannot be listed: {e}");
            let default = default_device(&host, direction);
            let devices = host.devices().map_err(fail)?.chain(jack_devices());
            listed.extend(devices.filter(|d| supports(d, direction)).map(|device| Listed {
                direction,
                name: device.to_string(),
                is_default: default.as_ref() == Some(&device),
            }));
        }
        Ok(listed)
    })?;
    for Listed { direction, name, is_default } in listed {
        let kind = direction.name();
        if json {
            report::write_json_line(&events::ListedDevice { kind, name: &name, default: is_default })?;
        } else {
            let mark = if is_default { " (default)" } else { "" };
            let kind = if directions.len() > 1 { format!("{kind}: ") } else { String::new() };
            report::print_text(&format!("{kind}{name}{mark}\n"))?;
        }
    }
    Ok(())
}

/// Says whether the device of a name, or the default one, is there; it is not opened.
pub(crate) fn check_device(direction: Direction, name: Option<&str>) -> Result<()> {
    let name = name.map(str::to_owned);
    ask_server(move || find_device(direction, name.as_deref()).map(drop))
}

/// The device of a name, or the default one. May wait for a sound server without end.
pub(super) fn find_device(direction: Direction, name: Option<&str>) -> Result<Device> {
    // Anew each time: ALSA chooses its default when its configuration is read, by which servers run then.
    let host = default_host();
    let Some(name) = name else {
        return default_device(&host, direction)
            .with_context(|| format!("no sound device for {} (see --list-devices)", direction.name()));
    };
    let devices = host.devices().map_err(|e| anyhow!("sound devices cannot be listed: {e}"))?;
    // By the name that lists show, or by the system's own identifier.
    let fits = |d: &Device| {
        supports(d, direction) && (d.to_string() == name || d.id().is_ok_and(|id| id.id() == name))
    };
    let missing = || anyhow!("no sound device {name:?} for {} (see --list-devices)", direction.name());
    // JACK last: its server is not to be asked for a device of ALSA.
    devices.chain(std::iter::once_with(jack_devices).flatten()).find(fits).ok_or_else(missing)
}

fn default_device(host: &Host, direction: Direction) -> Option<Device> {
    match direction {
        Direction::Capture => host.default_input_device(),
        Direction::Playback => host.default_output_device(),
    }
}

fn jack_devices() -> impl Iterator<Item = Device> {
    jack_host().and_then(|host| host.devices().ok()).into_iter().flatten()
}

fn supports(device: &Device, direction: Direction) -> bool {
    // By both: JACK's devices state one direction and have configurations for either, some of ALSA's state none.
    let stated = device.description().map_or(DeviceDirection::Unknown, |d| d.direction());
    match direction {
        Direction::Capture => stated != DeviceDirection::Output && device.supports_input(),
        Direction::Playback => stated != DeviceDirection::Input && device.supports_output(),
    }
}
