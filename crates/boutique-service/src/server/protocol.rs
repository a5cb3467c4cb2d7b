//! Tells the protocol of a connection by its first bytes: TLS, HTTP/2 or HTTP/1.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A length of 24 bits, a type, flags, and a stream.
const FRAME_HEADER: usize = 9;
const SETTINGS: u8 = 4;
/// More settings than HTTP/2 has.
const MAX_SETTINGS: usize = 1024;
/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 22;

/// The protocol that a peer begins with, inside TLS if there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Http1,
    Http2,
}

/// Returns true if a peer begins with a TLS handshake. Waits for its first byte, and leaves it to be read.
pub(super) async fn is_tls_handshake(stream: &TcpStream) -> Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? > 0 && first[0] == HANDSHAKE)
}

/// Reads enough to know the protocol, and returns what was read. HTTP/2 is known by its whole preface with the SETTINGS
/// frame that belongs to it, so that a peer that stops before it holds no connection.
pub(super) async fn detect(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Opening, Vec<u8>)> {
    let mut first = Vec::with_capacity(HTTP2_PREFACE.len() + FRAME_HEADER);
    while first.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&first) {
        read_up_to(stream, &mut first, HTTP2_PREFACE.len()).await?;
    }
    if first != HTTP2_PREFACE {
        return Ok((Opening::Http1, first));
    }
    let header = HTTP2_PREFACE.len() + FRAME_HEADER;
    while first.len() < header {
        read_up_to(stream, &mut first, header).await?;
    }
    let frame = &first[HTTP2_PREFACE.len()..];
    let length = frame[..3].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    // What is not SETTINGS is for the protocol's implementation to refuse, which says why.
    if frame[3] == SETTINGS && length <= MAX_SETTINGS {
        while first.len() < header + length {
            read_up_to(stream, &mut first, header + length).await?;
        }
    }
    Ok((Opening::Http2, first))
}

/// Reads at least one byte, and not beyond a length of `end`.
async fn read_up_to(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    end: usize,
) -> Result<()> {
    let missing = end.saturating_sub(bytes.len()) as u64;
    if stream.take(missing).read_buf(bytes).await? == 0 {
        return Err(Error::from(ErrorKind::UnexpectedEof));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn detected(bytes: &[u8]) -> Result<(Opening, usize)> {
        let mut bytes = bytes;
        let (opening, first) = detect(&mut bytes).await?;
        Ok((opening, first.len()))
    }

    #[tokio::test]
    async fn protocol_is_known_by_the_first_bytes() -> Result<()> {
        let settings =
            [HTTP2_PREFACE, &[0, 0, 6, SETTINGS, 0, 0, 0, 0, 0], &[0; 6], b"more"].concat();
        assert_eq!(detected(&settings).await?, (Opening::Http2, 24 + 9 + 6));
        let ping = [HTTP2_PREFACE, &[0, 0, 8, 6, 0, 0, 0, 0, 0], &[0; 8]].concat();
        assert_eq!(detected(&ping).await?, (Opening::Http2, 24 + 9));
        assert_eq!(detected(b"GET / HTTP/1.1\r\n\r\n").await?.0, Opening::Http1);
        assert_eq!(detected(b"PRI * HTTP/1.1\r\n\r\n").await?.0, Opening::Http1);
        for end in 0..settings.len() - b"more".len() {
            assert!(detected(&settings[..end]).await.is_err(), "{end}");
        }
        Ok(())
    }
}
