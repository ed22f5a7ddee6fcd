//! Sound servers of the platform with null or dummy devices, each in folders of its own. Where a program is not
//! installed the caller skips its test with a notice.
#![allow(clippy::print_stdout, reason = "notices of what is skipped")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server gets to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    PulseAudio,
    PipeWire,
    /// PipeWire, with ALSA's plugin for it as the default device instead of that for PulseAudio.
    PipeWireOverAlsa,
    /// JACK with a period of this many samples.
    Jack(u32),
}

/// A running server; it ends with this.
pub(crate) struct SoundServer {
    kind: Kind,
    folder: TempDir,
    env: Vec<(&'static str, String)>,
    children: Vec<Child>,
}

impl SoundServer {
    /// Starts a server; none, with a notice, where one of its programs is not installed.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        let programs: &[&str] = match kind {
            Kind::PulseAudio => &["pulseaudio", "pactl", "parec"],
            Kind::PipeWire | Kind::PipeWireOverAlsa => {
                &["pipewire", "wireplumber", "pipewire-pulse", "pactl", "parec", "dbus-daemon"]
            }
            Kind::Jack(_) => &["jackd", "jack_lsp", "jack_rec"],
        };
        if let Some(missing) = programs.iter().find(|program| !is_installed(program)) {
            println!("skipped: {missing} is not installed");
            return None;
        }
        let (plugin, package) = match kind {
            Kind::Jack(_) => ("jack", "libasound2-plugins"),
            Kind::PipeWireOverAlsa => ("pipewire", "pipewire-alsa"),
            _ => ("pulse", "libasound2-plugins"),
        };
        let unpacked = unpacked_alsa_plugin().filter(|_| kind == Kind::PipeWireOverAlsa);
        if unpacked.is_none() && !has_alsa_plugin(plugin) {
            println!("skipped: ALSA's plugin {plugin} is not installed ({package})");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().display().to_string();
        // PipeWire and PulseAudio refuse a folder that others may enter.
        let mut env = vec![("XDG_RUNTIME_DIR", path.clone()), ("HOME", path.clone())];
        // The default device is the server's, as on a desktop.
        let device = match kind {
            // Not by the name that the package defines: it may be unpacked only.
            Kind::PipeWireOverAlsa => "{ type pipewire }".to_owned(),
            _ => format!("\"{plugin}\""),
        };
        let mut asoundrc = format!("pcm.!default {{ type plug slave {{ pcm {device} }} }}\n");
        asoundrc.extend(unpacked.map(|library| format!("pcm_type.pipewire {{ lib \"{library}\" }}\n")));
        match kind {
            Kind::PulseAudio => env.push(("PULSE_SERVER", format!("unix:{path}/pulse-native"))),
            Kind::PipeWire | Kind::PipeWireOverAlsa => {
                // A sink without a device, at the rate of the codec, so that nothing is resampled on the way.
                let conf = folder.path().join(".config/pipewire/pipewire.conf.d");
                std::fs::create_dir_all(&conf).expect("a folder");
                let sink = "context.properties = { default.clock.rate = 24000 }\n\
                    context.objects = [ { factory = adapter args = { \
                    factory.name = support.null-audio-sink node.name = nul media.class = Audio/Sink \
                    object.linger = true audio.position = [ FL FR ] monitor.channel-volumes = true } } ]\n";
                std::fs::write(conf.join("null.conf"), sink).expect("a file");
            }
            Kind::Jack(_) => {
                // Unique, since JACK's shared memory is the whole machine's.
                let name = path.rsplit(['/', '.']).next().unwrap_or("siskin").to_owned();
                env.push(("JACK_DEFAULT_SERVER", name));
                env.push(("JACK_NO_AUDIO_RESERVATION", "1".into()));
                env.push(("JACK_NO_START_SERVER", "1".into()));
            }
        }
        std::fs::write(folder.path().join(".asoundrc"), asoundrc).expect("a file");
        let mut server = Self { kind, folder, env, children: Vec::new() };
        server.run();
        Some(server)
    }

    /// Starts the server's programs, once more after [`SoundServer::kill`].
    pub(crate) fn run(&mut self) {
        let socket = self.folder.path().join("pulse-native");
        match self.kind {
            Kind::PulseAudio => {
                // What is left of one that was killed.
                std::fs::remove_file(&socket).ok();
                let protocol = format!("module-native-protocol-unix socket={}", socket.display());
                let options = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"];
                // 24 kHz, so that nothing is resampled on the way.
                let sink = ["-L", "module-null-sink sink_name=nul rate=24000"];
                self.spawn("pulseaudio", &[&options[..], &["-L", &protocol], &sink].concat());
            }
            Kind::PipeWire | Kind::PipeWireOverAlsa => {
                let bus = self.start_bus();
                self.env.retain(|(name, _)| *name != "DBUS_SESSION_BUS_ADDRESS");
                self.env.push(("DBUS_SESSION_BUS_ADDRESS", bus));
                self.spawn("pipewire", &[]);
                self.wait_for("the socket of PipeWire", |s| s.folder.path().join("pipewire-0").exists());
                self.spawn("wireplumber", &[]);
                self.spawn("pipewire-pulse", &[]);
            }
            Kind::Jack(period) => {
                let period = period.to_string();
                let name = self.env("JACK_DEFAULT_SERVER").to_owned();
                // With a monitor, and at the rate of the codec, so that nothing is resampled on the way.
                let server = ["-n", &name, "--no-mlock", "-r"];
                self.spawn(
                    "jackd",
                    &[&server[..], &["-d", "dummy", "-m", "-r", "24000", "-p", &period]].concat(),
                );
            }
        }
        let (ask, answer) = match self.kind {
            Kind::Jack(_) => (["jack_lsp"].as_slice(), "system:playback_1"),
            _ => (["pactl", "info"].as_slice(), "Default Sink: nul"),
        };
        self.wait_for(answer, |s| {
            let output = s.command(ask[0]).args(&ask[1..]).output().expect("the tool starts");
            String::from_utf8_lossy(&output.stdout).contains(answer)
        });
    }

    /// Ends the server: PulseAudio and PipeWire as a crash would, JACK as its user would.
    pub(crate) fn kill(&mut self) {
        for mut child in self.children.drain(..).rev() {
            if matches!(self.kind, Kind::Jack(_)) {
                // A server of JACK's that is killed keeps its place among the eight that a machine may have.
                Command::new("kill").arg(child.id().to_string()).status().ok();
                let until = Instant::now() + Duration::from_secs(5);
                while child.try_wait().is_ok_and(|s| s.is_none()) && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Has the server stand still, or go on.
    pub(crate) fn signal(&self, name: &str) {
        for child in &self.children {
            let status = Command::new("kill").args([name, &child.id().to_string()]).status();
            assert!(status.expect("kill starts").success());
        }
    }

    /// Periods so far in which JACK's server, or one of its clients, the recorder too, did not get its turn in time: what is
    /// played is then not what is recorded, whoever plays. The other servers do not tell.
    pub(crate) fn xruns(&self) -> usize {
        self.logs().matches("JackEngine::XRun").count()
    }

    /// A command that talks to this server.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        // None of the session that the tests run in.
        for name in ["DBUS_SESSION_BUS_ADDRESS", "PULSE_SERVER", "DISPLAY", "PIPEWIRE_REMOTE"] {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Records what the sink plays until [`Recorder::end`].
    pub(crate) fn record(&self) -> Recorder {
        let path = self.folder.path().join("heard");
        std::fs::remove_file(&path).ok();
        let child = match self.kind {
            Kind::Jack(_) => {
                let mut command = self.command("jack_rec");
                command.args(["-f", text(&path), "-d", "60", "-b", "16", "system:monitor_1"]);
                command.stdout(Stdio::null());
                command
            }
            _ => {
                let mut command = self.command("parec");
                command.args([
                    "-d",
                    "nul.monitor",
                    "--rate=24000",
                    "--channels=2",
                    "--format=s16le",
                    "--latency-msec=50",
                ]);
                command.stdout(File::create(&path).expect("a file"));
                command
            }
        }
        .stderr(Stdio::null())
        .spawn()
        .expect("the recorder starts");
        // Until it records: what comes before the clip is silence.
        let until = Instant::now() + PATIENCE;
        while path.metadata().map_or(0, |m| m.len()) == 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        Recorder { child, path }
    }

    fn start_bus(&mut self) -> String {
        let mut command = self.command("dbus-daemon");
        command.args(["--session", "--nofork", "--print-address=1"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a message bus");
        let mut address = String::new();
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut address).expect("an address");
        self.children.push(child);
        address.trim().to_owned()
    }

    fn spawn(&mut self, program: &str, args: &[&str]) {
        let log = self.folder.path().join(format!("{program}.log"));
        let log = || File::options().create(true).append(true).open(&log).expect("a log");
        let child = self.command(program).args(args).stdout(log()).stderr(log()).spawn();
        self.children.push(child.expect("the server starts"));
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_there(self) {
            assert!(Instant::now() < until, "{:?}: no {what}; {}", self.kind, self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn env(&self, name: &str) -> &str {
        self.env.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    fn logs(&self) -> String {
        let logs = self.folder.path().read_dir().expect("a folder").filter_map(Result::ok);
        let logs = logs.filter(|e| e.path().extension().is_some_and(|e| e == "log"));
        logs.map(|e| std::fs::read_to_string(e.path()).unwrap_or_default()).collect()
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Records what a sink plays.
pub(crate) struct Recorder {
    child: Child,
    path: PathBuf,
}

impl Recorder {
    /// Ends the recording; its samples.
    pub(crate) fn end(mut self) -> Vec<f32> {
        // Recorders write late.
        std::thread::sleep(Duration::from_secs(1));
        // Interrupted, so that what is buffered is written.
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().expect("kill starts");
        self.child.wait().expect("an end");
        let bytes = std::fs::read(&self.path).expect("a recording");
        if bytes.starts_with(b"RIFF") {
            // By hand: `jack_rec` leaves the lengths in its header at 0 when it is interrupted.
            return bytes[44..]
                .chunks_exact(2)
                .map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0)
                .collect();
        }
        // The left one of two channels: a sum would depend on how the server mixes.
        bytes.chunks_exact(4).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// ALSA's plugin in what `SISKIN_PIPEWIRE_ALSA` names, which is Debian's package pipewire-alsa, unpacked: installed it would
/// become the machine's default device.
fn unpacked_alsa_plugin() -> Option<String> {
    let libraries = PathBuf::from(std::env::var_os("SISKIN_PIPEWIRE_ALSA")?).join("usr/lib");
    let folders = libraries.read_dir().ok()?.filter_map(Result::ok);
    let mut files = folders.map(|e| e.path().join("alsa-lib/libasound_module_pcm_pipewire.so"));
    files.find(|file| file.is_file()).map(|file| file.display().to_string())
}

/// Whether ALSA has a plugin, in the folder of any architecture.
fn has_alsa_plugin(name: &str) -> bool {
    let file = format!("alsa-lib/libasound_module_pcm_{name}.so");
    let folders = Path::new("/usr/lib").read_dir().into_iter().flatten().filter_map(Result::ok);
    folders.map(|e| e.path()).chain([PathBuf::from("/usr/lib")]).any(|folder| folder.join(&file).exists())
}
