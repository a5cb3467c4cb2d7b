//! Reads the HTTP/2 frames of a peer as they arrive. It counts those that ask for work and carry no request: PING,
//! SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM, empty DATA and what is not known. And it takes header blocks from the
//! process's budget until they are complete, because the HTTP library holds them; those of HTTP/1, too. A peer that sends
//! too much gets GOAWAY.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::{Budget, Reservation};

/// The frames allowed at once, and those allowed per second. A busy gRPC client sends a few hundred a second.
const BURST: u32 = 10_000;
const PER_SECOND: f64 = 2_000.0;
/// The frames that each request and each piece of a body allow in addition.
const PER_REQUEST: u32 = 4;
/// The client's preface before its first frame.
const PREFACE: usize = 24;
const FRAME_HEADER: usize = 9;
/// The length in bytes of a complete header block that is not worth counting: those of most requests are shorter.
const SMALL_BLOCK: usize = 1024;
/// The memory of a byte of an incomplete header block: buffers grow by doubling.
const HELD: usize = 2;

/// Looks at what a peer sends.
#[derive(Debug)]
pub(super) enum Guard {
    Http1(HeaderGuard),
    Http2(FloodGuard),
}

impl Guard {
    /// Reads what was received next, the last of so many bytes since a request was answered; returns false once it is too
    /// much.
    pub(super) fn allows(&mut self, bytes: &[u8], since_answer: u64, is_answering: bool) -> bool {
        match self {
            Self::Http1(guard) => guard.allows(bytes.len(), since_answer, is_answering),
            Self::Http2(guard) => guard.allows(bytes),
        }
    }
}

/// Counts the bytes of an HTTP/1 request until it is answered.
#[derive(Debug)]
pub(super) struct HeaderGuard {
    budget: Arc<Budget>,
    header: Option<Reservation>,
}

impl HeaderGuard {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, header: None }
    }

    fn allows(&mut self, bytes: usize, since_answer: u64, is_answering: bool) -> bool {
        if is_answering || since_answer == bytes as u64 {
            self.header = None;
        }
        if is_answering || since_answer <= SMALL_BLOCK as u64 {
            return true;
        }
        let header = self.header.get_or_insert_with(|| self.budget.reserve());
        header.take_body(bytes * HELD).is_ok()
    }
}

/// Reads the headers of the frames in a stream of bytes.
#[derive(Debug)]
pub(super) struct FloodGuard {
    /// Bytes to skip before the next header.
    skip: usize,
    header: [u8; FRAME_HEADER],
    filled: usize,
    allowed: u32,
    refilled: Instant,
    budget: Arc<Budget>,
    /// The share of the header block that is not complete.
    block: Option<Reservation>,
    /// True if the block is complete with the frame that is being read.
    is_last: bool,
}

impl FloodGuard {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            block: None,
            is_last: false,
            skip: PREFACE,
            header: [0; FRAME_HEADER],
            filled: 0,
            allowed: BURST,
            refilled: Instant::now(),
        }
    }

    /// Reads what was received next; returns false once it is too much.
    pub(super) fn allows(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                if self.skip == 0 && self.is_last {
                    self.block = None;
                }
                continue;
            }
            let missing = (FRAME_HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + missing].copy_from_slice(&bytes[..missing]);
            self.filled += missing;
            bytes = &bytes[missing..];
            if self.filled == FRAME_HEADER {
                self.filled = 0;
                if !self.count() {
                    return false;
                }
            }
        }
        true
    }

    /// Counts the frame whose header is complete.
    fn count(&mut self) -> bool {
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const CONTINUATION: u8 = 9;
        const END_STREAM: u8 = 1;
        const END_HEADERS: u8 = 4;
        let length =
            self.header[..3].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        self.skip = length;
        let (kind, flags) = (self.header[3], self.header[4]);
        self.is_last = flags & END_HEADERS != 0;
        match kind {
            HEADERS | CONTINUATION => {
                if kind == HEADERS {
                    self.allow(PER_REQUEST);
                }
                if self.is_last && length == 0 {
                    self.block = None;
                } else if !self.is_last || length > SMALL_BLOCK {
                    let block = self.block.get_or_insert_with(|| self.budget.reserve());
                    return block.take_body(length * HELD).is_ok();
                }
            }
            DATA if length > 0 || flags & END_STREAM != 0 => self.allow(PER_REQUEST),
            _ => {
                if self.allowed == 0 {
                    self.refill();
                }
                let Some(left) = self.allowed.checked_sub(1) else { return false };
                self.allowed = left;
            }
        }
        true
    }

    fn allow(&mut self, more: u32) {
        self.allowed = self.allowed.saturating_add(more).min(BURST);
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by BURST")]
    fn refill(&mut self) {
        let passed = self.refilled.elapsed();
        // The clock is not read for each frame.
        if passed >= Duration::from_millis(10) {
            self.refilled = Instant::now();
            self.allow((passed.as_secs_f64() * PER_SECOND).min(f64::from(BURST)) as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// A guard that has read the preface.
    fn guard() -> FloodGuard {
        let mut guard = FloodGuard::new(Budget::of_process(Some(64 << 20)));
        assert!(guard.allows(&[b'x'; PREFACE]));
        guard
    }

    #[test]
    fn frames_without_requests_are_too_much_after_a_while() {
        for (kind, payload) in [(2, 5), (3, 4), (4, 6), (6, 8), (8, 4), (0, 0), (0xfa, 100)] {
            let mut guard = guard();
            let frame = frame(kind, 0, &vec![0; payload]);
            let count = (0..100_000).take_while(|_| guard.allows(&frame)).count();
            assert!((10_000..50_000).contains(&count), "{kind}: {count}");
        }
    }

    #[test]
    fn header_blocks_take_from_the_budget_until_they_are_complete() {
        let mut guards = Vec::new();
        let budget = Budget::of_process(Some(64 << 20));
        let (begin, go_on) = (frame(1, 0, &[0; 16_000]), frame(9, 0, &[0; 16_000]));
        let is_taken = |guard: &mut FloodGuard| {
            guard.allows(&[b'x'; PREFACE]) && guard.allows(&begin) && guard.allows(&go_on)
        };
        let taken = (0..1_000).take_while(|_| {
            guards.push(FloodGuard::new(budget.clone()));
            is_taken(guards.last_mut().unwrap())
        });
        let taken = taken.count();
        // A quarter of 64 MiB, less what is left to small requests.
        assert!((150..250).contains(&taken), "{taken}");
        for guard in &mut guards[..taken] {
            assert!(guard.allows(&frame(9, 4, &[0; 100])));
        }
        drop(guards.split_off(taken));
        assert!(is_taken(&mut FloodGuard::new(budget)), "all is given back");
    }

    #[test]
    fn header_blocks_that_end_with_an_empty_frame_are_given_back() {
        let (begin, end) = (frame(1, 0, &[0; 16_000]), frame(9, 4, &[]));
        let mut guard = guard();
        for block in 0..10_000 {
            assert!(guard.allows(&begin) && guard.allows(&end), "{block}");
        }
    }

    #[test]
    fn requests_are_never_too_much_in_pieces_of_any_size() {
        let call = [frame(1, 4, &[0; 40]), frame(0, 1, &[0; 30]), frame(8, 0, &[0; 4])].concat();
        for size in [1, 7, 64, 1_000] {
            let mut guard = guard();
            let bytes = call.repeat(30_000 / size + 1_000);
            assert!(bytes.chunks(size).all(|piece| guard.allows(piece)), "{size}");
        }
    }
}
