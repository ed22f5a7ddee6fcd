//! Keys pressed while a verb works, where stdin is a terminal.

use std::io::{IsTerminal, Read, stdin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A letter or other character, the space too.
    Letter(char),
    Left,
    Right,
    Up,
    Down,
}

/// The terminal's settings before, to be put back however the program ends.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A terminal that gives keys at once and unseen. Signals work as ever.
pub(crate) struct Keys {
    pressed: Receiver<Key>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Keys {
    /// Takes over the terminal; none if stdin is not one.
    pub(crate) fn open() -> Option<Self> {
        if !stdin().is_terminal() {
            return None;
        }
        let before = tcgetattr(stdin()).ok()?;
        let mut settings = before.clone();
        // ISIG stays, so Ctrl-C remains a signal.
        settings.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // A read returns after 0.1 s also without a key, so the reader can be stopped.
        settings.special_codes[SpecialCodeIndex::VMIN] = 0;
        settings.special_codes[SpecialCodeIndex::VTIME] = 1;
        tcsetattr(stdin(), OptionalActions::Now, &settings).ok()?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        // More keys than anyone presses between two looks.
        let (sender, pressed) = bounded(16);
        let stop = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let stop = stop.clone();
            move || read_keys(&stop, &sender)
        });
        Some(Self { pressed, stop, reader: Some(reader) })
    }

    /// The next key, if one has been pressed.
    pub(crate) fn next_key(&mut self) -> Option<Key> {
        self.pressed.try_recv().ok()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Before the terminal is restored: the reader must not swallow what is typed for the shell.
        self.reader.take().map(JoinHandle::join);
        restore_terminal();
    }
}

/// Puts the terminal's settings back.
pub(crate) fn restore_terminal() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        tcsetattr(stdin(), OptionalActions::Now, &before).ok();
    }
}

fn read_keys(stop: &AtomicBool, pressed: &Sender<Key>) {
    let mut bytes = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        let Ok(count) = stdin().lock().read(&mut bytes) else { return };
        for key in parse_keys(&bytes[..count]) {
            // Who holds a key down longer than it is looked at wants no more of it.
            pressed.try_send(key).ok();
        }
    }
}

/// The keys that a terminal's bytes mean; arrows come as escape sequences in one read.
fn parse_keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = rest;
        // Terminals send arrows with `[` in normal and `O` in application mode.
        if let ([b'[' | b'O', code, after @ ..], 0x1b) = (rest, first) {
            bytes = after;
            keys.extend(match code {
                b'A' => Some(Key::Up),
                b'B' => Some(Key::Down),
                b'C' => Some(Key::Right),
                b'D' => Some(Key::Left),
                _ => None,
            });
        } else if first.is_ascii_graphic() || first == b' ' {
            keys.push(Key::Letter(first.into()));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_arrows() {
        assert_eq!(parse_keys(b" q"), [Key::Letter(' '), Key::Letter('q')]);
        assert_eq!(parse_keys(b"\x1b[C\x1b[Dm"), [Key::Right, Key::Left, Key::Letter('m')]);
        assert_eq!(parse_keys(b"\x1bOA\x1b[5"), [Key::Up]);
        assert_eq!(parse_keys(b"\x1b\n\xff"), []);
    }
}
