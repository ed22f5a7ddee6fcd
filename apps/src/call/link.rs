//! The socket of a call, and whom it is with.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

/// A UDP socket and the peer's address, once there is one.
pub(super) struct Link {
    socket: UdpSocket,
    peer: Mutex<Option<SocketAddr>>,
    ssrc: u32,
    canonical_name: String,
}

impl Link {
    /// Waits for a peer at an address of this machine.
    pub(super) fn listen(address: &str) -> Result<Self> {
        let socket = UdpSocket::bind(address).with_context(|| format!("cannot listen at {address}"))?;
        Ok(Self::new(socket, None))
    }

    /// Turns to a peer that listens.
    pub(super) fn connect(address: &str) -> Result<Self> {
        let mut found = address.to_socket_addrs().with_context(|| address.to_owned())?;
        let Some(peer) = found.next() else { bail!("{address} has no address") };
        // A socket of the peer's family: an IPv4 socket cannot send to IPv6.
        let any: SocketAddr = if peer.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).map_err(|e| anyhow!("no socket: {e}"))?;
        Ok(Self::new(socket, Some(peer)))
    }

    fn new(socket: UdpSocket, peer: Option<SocketAddr>) -> Self {
        let ssrc = random_seed() as u32;
        // 96 random bits a call (RFC 7022, section 4.2): with one name for all, a receiver takes the two sides of a call, and calls
        // with several people, for streams of one participant, and keeps them in step.
        let canonical_name = format!("{:016x}{:08x}", random_seed(), random_seed() as u32);
        Self { socket, peer: Mutex::new(peer), ssrc, canonical_name }
    }

    /// What our packets are known by.
    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// What this side is known by in reports, whatever its SSRC: it names neither a person nor a machine.
    pub(super) fn canonical_name(&self) -> &str {
        &self.canonical_name
    }

    /// A number that nobody guesses (RFC 3550, section 5.1).
    pub(super) fn random(&self) -> u64 {
        random_seed()
    }

    /// Where this side listens.
    pub(super) fn address(&self) -> Result<SocketAddr> {
        self.socket.local_addr().map_err(|e| anyhow!("no socket: {e}"))
    }

    /// Whom the call is with.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a datagram, if there is a peer. What the network refuses is lost like what it drops.
    pub(super) fn send(&self, datagram: &[u8]) {
        if let Some(peer) = self.peer() {
            self.socket.send_to(datagram, peer).ok();
        }
    }

    /// Waits at most `patience` for a datagram of the peer; the first that `is_valid` makes its sender the peer.
    pub(super) fn receive<'a>(
        &self,
        buffer: &'a mut [u8],
        patience: Duration,
        is_valid: impl FnOnce(&[u8]) -> bool,
    ) -> Option<&'a [u8]> {
        // A time-out of zero is an error of the standard library.
        self.socket.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).ok()?;
        // An error is a time-out, or that an earlier datagram found nobody: both mean that nothing came.
        let (length, from) = self.socket.recv_from(buffer).ok()?;
        let data = &buffer[..length];
        match self.peer() {
            Some(peer) if peer == from => Some(data),
            // A stranger in the middle of a call. There is no encryption here, so this keeps out accidents only.
            Some(_) => None,
            None if is_valid(data) => {
                *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
                Some(data)
            }
            None => None,
        }
    }
}

/// The standard library seeds its hash maps from the system's random numbers.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
