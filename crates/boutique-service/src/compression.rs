//! Compressed messages of unary requests, as `grpc-encoding` names them: gzip and deflate are read, and the inflated
//! message is bounded like any other.

use std::io::Read;

use bytes::{BufMut as _, Bytes};
use flate2::read::{GzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderValue};
use tonic::Status;

use crate::grpc::{FRAME_HEADER, begin_frame};

const ENCODING: &str = "grpc-encoding";
const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,deflate,gzip");

/// Returns a frame whose message is not compressed; it has at most `max` bytes.
pub(crate) fn inflate(headers: &mut HeaderMap, frame: Bytes, max: usize) -> Result<Bytes, Status> {
    let encoding = headers.remove(ENCODING);
    if frame.first().is_none_or(|flag| *flag == 0) {
        return Ok(frame);
    }
    let compressed = frame.get(FRAME_HEADER..).unwrap_or_default();
    let encoding = encoding.as_ref().map(HeaderValue::as_bytes);
    let message = match encoding {
        Some(b"gzip") => read(GzDecoder::new(compressed), max)?,
        Some(b"deflate") => read(ZlibDecoder::new(compressed), max)?,
        Some(b"identity") | None => {
            return Err(Status::internal("the message is compressed and does not say how"));
        }
        Some(_) => {
            let mut status = Status::unimplemented("the message's compression is not supported");
            status.metadata_mut().as_mut().insert("grpc-accept-encoding", ACCEPTED);
            return Err(status);
        }
    };
    let mut frame = begin_frame(message.len());
    frame.put_slice(&message);
    Ok(frame.freeze())
}

fn read(decoder: impl Read, max: usize) -> Result<Vec<u8>, Status> {
    let mut message = Vec::new();
    let read = decoder.take(max as u64 + 1).read_to_end(&mut message);
    read.map_err(|_| Status::internal("the message's compression is broken"))?;
    if message.len() > max {
        return Err(Status::resource_exhausted(format!("the message is larger than {max} bytes")));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use tonic::Code;

    use super::*;

    fn framed(flag: u8, message: &[u8]) -> Bytes {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[flag][..], &length, message].concat().into()
    }

    fn gzip(message: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    fn inflated(encoding: Option<&'static str>, frame: Bytes) -> Result<Bytes, Code> {
        let mut headers = HeaderMap::new();
        headers.extend(encoding.map(|encoding| {
            (http::HeaderName::from_static(ENCODING), HeaderValue::from_static(encoding))
        }));
        let frame = inflate(&mut headers, frame, 1024).map_err(|status| status.code());
        assert!(headers.is_empty());
        frame
    }

    #[test]
    fn compressed_message_is_inflated_within_its_bound() {
        let plain = framed(0, b"message");
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(b"message").unwrap();
        for (encoding, frame, expected) in [
            (Some("gzip"), framed(1, &gzip(b"message")), Ok(plain.clone())),
            (Some("deflate"), framed(1, &zlib.finish().unwrap()), Ok(plain.clone())),
            (Some("gzip"), plain.clone(), Ok(plain.clone())),
            (Some("snappy"), plain.clone(), Ok(plain.clone())),
            (None, plain.clone(), Ok(plain)),
            (Some("gzip"), framed(1, &gzip(&[0; 1024])), Ok(framed(0, &[0; 1024]))),
            (Some("gzip"), framed(1, &gzip(&[0; 1025])), Err(Code::ResourceExhausted)),
            (Some("gzip"), framed(1, &gzip(&vec![0; 100 << 20])), Err(Code::ResourceExhausted)),
            (Some("gzip"), framed(1, b"nonsense"), Err(Code::Internal)),
            (Some("identity"), framed(1, b"x"), Err(Code::Internal)),
            (None, framed(1, b"x"), Err(Code::Internal)),
            (Some("snappy"), framed(1, b"x"), Err(Code::Unimplemented)),
            (Some("gzip"), Bytes::new(), Ok(Bytes::new())),
        ] {
            assert_eq!(inflated(encoding, frame), expected, "{encoding:?}");
        }
    }
}
