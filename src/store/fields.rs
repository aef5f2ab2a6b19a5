//! Little-endian numbers and byte strings in the store's own files. Reading never goes past the end.

/// Reads fields one after the other; `None` once the bytes run out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

macro_rules! numbers {
    ($($name:ident: $number:ty),*) => {$(
        pub(crate) fn $name(&mut self) -> Option<$number> {
            let (bytes, rest) = self.0.split_first_chunk()?;
            self.0 = rest;
            Some(<$number>::from_le_bytes(*bytes))
        }
    )*};
}

impl<'a> Fields<'a> {
    numbers!(u8: u8, u16: u16, u32: u32, u64: u64, i64: i64, u128: u128);

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}
