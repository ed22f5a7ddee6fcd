/// Bounds that parsers hold input to, so that no bytes can make them allocate or work without end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest packet accepted, in bytes.
    pub max_packet_bytes: usize,
    /// Most codec frames in one packet.
    pub max_frames_per_packet: u32,
    /// Largest description in a container that is read (tracks, tags, chapters), in bytes.
    pub max_description_bytes: u64,
    /// Largest element of a container that its repair holds in memory, attachments among them, in bytes.
    pub max_container_element_bytes: u64,
    /// Largest file of a bundle that is read, in bytes.
    pub max_bundle_file_bytes: u64,
    /// Largest packet of a video track, in bytes.
    pub max_video_packet_bytes: usize,
    /// Most pixels of a frame.
    pub max_video_pixels: u64,
    /// Most frames in one group of pictures.
    pub max_video_frames: u32,
    /// Most parameters of a video decoder network, embeddings included.
    pub max_video_parameters: u64,
    /// Most memory for the features of a video decoder network, in bytes.
    pub max_video_memory: u64,
}

impl Default for Limits {
    /// 1 MiB and 500 frames (10 s at 50 Hz) per packet; 16 MiB per description and 64 MiB per element of a container;
    /// 256 MiB per file of a bundle; in video 32 MiB per packet, frames of 8192 by 4320, 4096 frames per group, 32 million
    /// parameters, 4 GiB of features.
    fn default() -> Self {
        Self {
            // 500 frames of 64 stages by 16 groups at 16 bits would take 1.02 MB, so no packet within the next
            // limit is refused by this one in practice.
            max_packet_bytes: 1 << 20,
            max_frames_per_packet: 500,
            // Tracks, tags and chapters take kilobytes in real files, and each is held in memory whole.
            max_description_bytes: 16 << 20,
            // The repair keeps attachments such as fonts and cover art byte by byte, and those are the largest
            // elements of real files.
            max_container_element_bytes: 64 << 20,
            // Far above any weights that a CPU runs in real time, and still an allocation that a desktop survives.
            max_bundle_file_bytes: 256 << 20,
            max_video_packet_bytes: 32 << 20,
            // The frame size that level 6.2 of H.265 is made for.
            max_video_pixels: 8192 * 4320,
            max_video_frames: 4096,
            // A parameter is a 32-bit float when decoded: 128 MiB of weights at most.
            max_video_parameters: 32 << 20,
            max_video_memory: 4 << 30,
        }
    }
}
