//! `CodecPrivate` of other codecs, from what their caps carry.

/// First bytes of the head of an Opus stream (RFC 7845, section 5.1).
const OPUS_MAGIC: &[u8] = b"OpusHead";
/// What precedes `fLaC` in the first header of FLAC in Ogg: a type, a name, a version, a count.
const FLAC_IN_OGG: usize = 9;

fn bytes(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().map(|map| map.to_vec()).unwrap_or_default()
}

/// The field `codec_data`.
pub(super) fn codec_data(caps: &gst::StructureRef) -> Result<Vec<u8>, String> {
    let data = caps.get::<gst::Buffer>("codec_data").map(|buffer| bytes(&buffer)).unwrap_or_default();
    if data.is_empty() { Err(format!("no codec_data in {caps}")) } else { Ok(data) }
}

/// The buffers of the field `streamheader`.
fn stream_headers(caps: &gst::StructureRef) -> Vec<Vec<u8>> {
    let headers = caps.get::<gst::ArrayRef>("streamheader").ok();
    let values = headers.as_ref().map(|array| array.as_slice()).unwrap_or_default();
    values.iter().filter_map(|value| value.get::<gst::Buffer>().ok()).map(|buffer| bytes(&buffer)).collect()
}

/// The identification header of Opus: that in the caps or, where a stream comes from a network, one made from their fields.
pub(super) fn opus_head(caps: &gst::StructureRef) -> Result<Vec<u8>, String> {
    if let Some(head) =
        stream_headers(caps).into_iter().find(|head| head.starts_with(OPUS_MAGIC) && head.len() >= 19)
    {
        return Ok(head);
    }
    let byte = |name: &str| caps.get::<i32>(name).ok().and_then(|n| u8::try_from(n).ok());
    let channels = byte("channels").filter(|&n| n > 0).ok_or_else(|| format!("no channels in {caps}"))?;
    let rate = caps.get::<i32>("rate").unwrap_or(48_000);
    let family = byte("channel-mapping-family").unwrap_or(0);
    let mut head = OPUS_MAGIC.to_vec();
    head.extend_from_slice(&[1, channels, 0, 0]);
    head.extend_from_slice(&rate.to_le_bytes());
    head.extend_from_slice(&[0, 0, family]);
    if family > 0 {
        let mapping = caps.get::<gst::ArrayRef>("channel-mapping").ok();
        let mapping = mapping.as_ref().map(|array| array.as_slice()).unwrap_or_default();
        let mapping: Vec<u8> =
            mapping.iter().filter_map(|v| v.get::<i32>().ok().and_then(|n| u8::try_from(n).ok())).collect();
        let counts = byte("stream-count").zip(byte("coupled-count"));
        let (Some((streams, coupled)), true) = (counts, mapping.len() == usize::from(channels)) else {
            return Err(format!("no whole channel mapping in {caps}"));
        };
        head.extend_from_slice(&[streams, coupled]);
        head.extend_from_slice(&mapping);
    } else if channels > 2 {
        return Err(format!("more than two channels without a mapping in {caps}"));
    }
    Ok(head)
}

/// Samples to drop from the start of an Opus stream.
pub(super) fn opus_pre_skip(head: &[u8]) -> u16 {
    head.get(10..12).map_or(0, |skip| u16::from_le_bytes([skip[0], skip[1]]))
}

/// The three headers of Vorbis or Theora in Xiph lacing.
pub(super) fn xiph_headers(caps: &gst::StructureRef) -> Result<Vec<u8>, String> {
    let headers = stream_headers(caps);
    let [first, second, third] = headers.as_slice() else {
        return Err(format!("{} of three stream headers in {}", headers.len(), caps.name()));
    };
    let mut out = vec![2];
    for header in [first, second] {
        out.extend(std::iter::repeat_n(0xff, header.len() / 0xff));
        out.push((header.len() % 0xff) as u8);
    }
    [first, second, third].into_iter().for_each(|header| out.extend_from_slice(header));
    Ok(out)
}

/// `fLaC` and the metadata blocks.
pub(super) fn flac_metadata(caps: &gst::StructureRef) -> Result<Vec<u8>, String> {
    let headers = stream_headers(caps);
    let first =
        headers.first().and_then(|head| head.get(FLAC_IN_OGG..)).filter(|head| head.starts_with(b"fLaC"));
    let mut out = first.ok_or_else(|| format!("no stream headers of FLAC in {}", caps.name()))?.to_vec();
    headers.iter().skip(1).for_each(|block| out.extend_from_slice(block));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(text: &str) -> gst::Structure {
        gst::init().expect("GStreamer");
        text.parse().expect("a structure")
    }

    #[test]
    fn opus_from_a_network_gets_a_head() {
        let stereo = opus_head(&structure("audio/x-opus,channels=2,rate=16000,channel-mapping-family=0"));
        assert_eq!(stereo, Ok(b"OpusHead\x01\x02\x00\x00\x80\x3e\x00\x00\x00\x00\x00".to_vec()));
        let text = "audio/x-opus,channels=3,channel-mapping-family=1,stream-count=2,coupled-count=1,\
                    channel-mapping=(int)<0,2,1>";
        let three = opus_head(&structure(text)).expect("a head");
        assert_eq!(three[18..], [1, 2, 1, 0, 2, 1]);
        assert!(opus_head(&structure("audio/x-opus,channels=3,channel-mapping-family=1")).is_err());
        assert!(opus_head(&structure("audio/x-opus,channels=6,channel-mapping-family=0")).is_err());
        assert_eq!(opus_pre_skip(b"OpusHead\x01\x02\x38\x01"), 312);
    }

    #[test]
    fn headers_are_laced_and_joined() {
        let long = "00".repeat(256);
        let vorbis = structure(&format!("audio/x-vorbis,streamheader=(buffer)<0102,{long},03>"));
        let private = xiph_headers(&vorbis).expect("three headers");
        assert_eq!((private.len(), &private[..6]), (4 + 259, &[2, 2, 0xff, 1, 1, 2][..]));
        assert!(xiph_headers(&structure("audio/x-vorbis")).is_err());
        let flac = structure("audio/x-flac,streamheader=(buffer)<7f464c414301000001664c614300,8401>");
        assert_eq!(flac_metadata(&flac), Ok(b"fLaC\x00\x84\x01".to_vec()));
        assert!(flac_metadata(&structure("audio/x-flac,streamheader=(buffer)<7f46>")).is_err());
    }
}
