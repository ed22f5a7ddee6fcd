/// Bounds that parsers hold input to, so that no bytes can make them allocate or work without end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest packet accepted, in bytes.
    pub max_packet_bytes: usize,
    /// Most codec frames in one packet.
    pub max_frames_per_packet: u32,
    /// Largest file of a bundle that is read, in bytes.
    pub max_bundle_file_bytes: u64,
}

impl Default for Limits {
    /// 1 MiB and 500 frames (10 s at 50 Hz) a packet, 256 MiB a bundle file.
    fn default() -> Self {
        Self { max_packet_bytes: 1 << 20, max_frames_per_packet: 500, max_bundle_file_bytes: 256 << 20 }
    }
}
