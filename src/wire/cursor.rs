//! Reading and writing of the primitive shapes that our own formats are made of: little-endian numbers,
//! LEB128 varints, length-prefixed bytes. A short or overlong input is an error, never a panic.

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The input ends inside a value.
    #[error("input ends inside {0}")]
    Short(&'static str),
    /// A value that no writer makes.
    #[error("invalid {what}: {detail}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// Nested deeper than [`crate::domain::limits::DEPTH_MAX`].
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
}

impl WireError {
    /// An invalid value.
    pub fn invalid(what: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Invalid { what, detail: detail.to_string() }
    }

    #[cold]
    fn too_wide(what: &'static str, value: u64) -> Self {
        Self::invalid(what, format_args!("{value} passes 32 bits"))
    }
}

/// Bytes of the longest LEB128 number of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

/// Reads forward over borrowed bytes.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all is read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        if self.rest.len() < n {
            return Err(WireError::Short(what));
        }
        let (head, tail) = self.rest.split_at(n);
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let bytes = self.take(N, what)?;
        Ok(bytes.try_into().expect("take gives N bytes"))
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Two bytes.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        self.array(what).map(u16::from_le_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, WireError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, WireError> {
        self.array(what).map(i64::from_le_bytes)
    }

    /// Sixteen bytes.
    pub fn u128(&mut self, what: &'static str) -> Result<u128, WireError> {
        self.array(what).map(u128::from_le_bytes)
    }

    /// A LEB128 number of at most 64 bits.
    #[inline]
    pub fn varint(&mut self, what: &'static str) -> Result<u64, WireError> {
        // Most are lengths and small counts.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint(what)
    }

    fn long_varint(&mut self, what: &'static str) -> Result<u64, WireError> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(VARINT_BYTES_MAX) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index + 1 == VARINT_BYTES_MAX && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        if self.rest.len() < VARINT_BYTES_MAX {
            return Err(WireError::Short(what));
        }
        Err(WireError::invalid(what, "a number of more than 64 bits"))
    }

    /// A varint that fits `u32`.
    #[inline]
    pub fn varint_u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        let value = self.varint(what)?;
        u32::try_from(value).map_err(|_| WireError::too_wide(what, value))
    }

    /// Bytes behind their length.
    #[inline]
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], WireError> {
        let length = self.varint(what)?;
        let length = usize::try_from(length).map_err(|_| WireError::Short(what))?;
        self.take(length, what)
    }

    /// UTF-8 text behind its length.
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes(what)?).map_err(|e| WireError::invalid(what, e))
    }
}

/// Appends a LEB128 number.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes behind their length.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends text behind its length.
#[inline]
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_read_back_at_every_width() {
        for value in (0..64).flat_map(|s| [1u64 << s, (1u64 << s) - 1]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.varint("n"), Ok(value));
            assert!(cursor.is_empty());
        }
        assert!(Cursor::new(&[0xff; 10]).varint("n").is_err());
        assert_eq!(Cursor::new(&[0x80]).varint("n"), Err(WireError::Short("n")));
    }

    #[test]
    fn a_length_beyond_the_input_is_short() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        assert_eq!(Cursor::new(&bytes).bytes("b"), Err(WireError::Short("b")));
    }
}
