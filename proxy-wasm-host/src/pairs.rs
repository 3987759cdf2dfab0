//! The wire format of header maps: spec v0.2.1, "Serialization".
//!
//! Little-endian: the number of pairs, then the length of each name and value, then the names and
//! values, each followed by a NUL. [`Pairs`] keeps lengths and texts apart as the format does: a
//! map is two slices, so nothing is parsed twice and nothing is copied.

use super::abi::Status;

/// The lengths of one name and its value.
type Lengths = [u8; 8];

/// Bytes of the number of pairs.
const COUNT: usize = size_of::<u32>();

/// Names and values from a plugin, checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pairs<'a> {
    lengths: &'a [Lengths],
    text: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Reads a serialized map. An empty map may also be zero bytes, or a single zero byte.
    ///
    /// # Errors
    /// `BadArgument` when the count and the lengths do not add up to exactly these bytes, or a text
    /// does not end in NUL.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Status> {
        if matches!(bytes, [] | [0]) {
            return Ok(Self::default());
        }
        Self::split(bytes).filter(Self::is_well_formed).ok_or(Status::BadArgument)
    }

    fn split(bytes: &'a [u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk::<COUNT>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (lengths, text) = rest.split_at_checked(count.checked_mul(size_of::<Lengths>())?)?;
        Some(Self { lengths: lengths.as_chunks().0, text })
    }

    /// Returns whether a NUL follows each text, and the last one ends the bytes.
    fn is_well_formed(&self) -> bool {
        let mut pairs = self.iter();
        (&mut pairs).count() == self.len() && pairs.text.is_empty()
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Returns whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The size of names and values, with their lengths, in bytes.
    pub fn size(&self) -> usize {
        size_of_val(self.lengths) + self.text.len()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> Iter<'a> {
        Iter { lengths: self.lengths, text: self.text }
    }

    /// The first value of `name`, compared without case.
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl<'a> IntoIterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The names and values of [`Pairs`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    lengths: &'a [Lengths],
    text: &'a [u8],
}

impl<'a> Iter<'a> {
    /// Returns the next `length` bytes and skips the NUL behind them; `None` if there is no NUL.
    fn take_text(&mut self, length: [u8; 4]) -> Option<&'a [u8]> {
        let (text, rest) = self.text.split_at_checked(usize::try_from(u32::from_le_bytes(length)).ok()?)?;
        self.text = rest.strip_prefix(b"\0")?;
        Some(text)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([n0, n1, n2, n3, v0, v1, v2, v3], rest) = self.lengths.split_first()?;
        let name = self.take_text([*n0, *n1, *n2, *n3])?;
        let value = self.take_text([*v0, *v1, *v2, *v3])?;
        self.lengths = rest;
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.lengths.len()))
    }
}

/// Names and values that the host keeps for a plugin to read.
#[derive(Clone, Debug, Default)]
pub struct PairsBuf {
    lengths: Vec<Lengths>,
    text: Vec<u8>,
}

impl PairsBuf {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a pair. Name and value must each be shorter than 4 GB, like everything that a plugin
    /// can read.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.lengths.push(lengths(name, value));
        for text in [name, value] {
            self.text.extend_from_slice(text);
            self.text.push(0);
        }
    }

    /// Borrows the map as [`Pairs`].
    pub fn as_pairs(&self) -> Pairs<'_> {
        Pairs { lengths: &self.lengths, text: &self.text }
    }

    /// The serialized map.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = (self.lengths.len() as u32).to_le_bytes();
        [&count[..], self.lengths.as_flattened(), &self.text].concat()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> Iter<'_> {
        self.as_pairs().iter()
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Returns whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }
}

impl<'a> IntoIterator for &'a PairsBuf {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for PairsBuf {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut map = Self::new();
        for (name, value) in pairs {
            map.push(name.as_ref(), value.as_ref());
        }
        map
    }
}

/// The size of a map when it is serialized: the first of two walks over it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measure {
    count: usize,
    text: usize,
}

impl Measure {
    /// Whether the map has no pair.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a pair.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.count += 1;
        self.text += name.len() + 1 + value.len() + 1;
    }

    /// The size of the serialized map in bytes; an empty map still has its count.
    pub fn size(&self) -> usize {
        COUNT + self.count * size_of::<Lengths>() + self.text
    }
}

/// Serializes a map in place: the second of the two walks.
///
/// Writes no more than was measured. The guest's allocator ran between the two walks and may have
/// changed the map; [`Encoder::finish`] reports a map that no longer fits.
pub struct Encoder<'a> {
    lengths: &'a mut [Lengths],
    text: &'a mut [u8],
    fits: bool,
}

impl<'a> Encoder<'a> {
    /// Begins in `out`, which must be as large as `measure` says.
    ///
    /// # Errors
    /// `SerializationFailure` when `out` has another size.
    pub fn new(out: &'a mut [u8], measure: Measure) -> Result<Self, Status> {
        Self::split(out, measure).ok_or(Status::SerializationFailure)
    }

    fn split(out: &'a mut [u8], measure: Measure) -> Option<Self> {
        let (count, rest) = out.split_first_chunk_mut::<COUNT>()?;
        *count = u32::try_from(measure.count).ok()?.to_le_bytes();
        let (lengths, text) = rest.split_at_mut_checked(measure.count * size_of::<Lengths>())?;
        Some(Self { lengths: lengths.as_chunks_mut().0, text, fits: true })
    }

    /// Writes the next pair.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.fits &= self.put_pair(name, value).is_some();
    }

    fn put_pair(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        *self.lengths.split_off_first_mut()? = lengths(name, value);
        self.put_text(name)?;
        self.put_text(value)
    }

    fn put_text(&mut self, text: &[u8]) -> Option<()> {
        self.text.split_off_mut(..text.len())?.copy_from_slice(text);
        *self.text.split_off_first_mut()? = 0;
        Some(())
    }

    /// Ends the map.
    ///
    /// # Errors
    /// `SerializationFailure` when the map is not the same that was measured.
    pub fn finish(self) -> Result<(), Status> {
        if self.fits && self.lengths.is_empty() && self.text.is_empty() {
            Ok(())
        } else {
            Err(Status::SerializationFailure)
        }
    }
}

/// Lengths past 4 GB cannot be told to a guest. No guest's memory could hold such a text, so a
/// length that is cut here is never seen.
fn lengths(name: &[u8], value: &[u8]) -> Lengths {
    let [n0, n1, n2, n3] = (name.len() as u32).to_le_bytes();
    let [v0, v1, v2, v3] = (value.len() as u32).to_le_bytes();
    [n0, n1, n2, n3, v0, v1, v2, v3]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the spec, `{{"a": "1"}, {"b": "22"}}`, with its numbers in 32 bits.
    const EXAMPLE: &[u8] = b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0a\x001\0b\x0022\0";

    fn encode(map: &PairsBuf) -> Vec<u8> {
        let mut measure = Measure::default();
        map.iter().for_each(|(name, value)| measure.add(name, value));
        let mut bytes = vec![0xaa; measure.size()];
        let mut encoder = Encoder::new(&mut bytes, measure).unwrap();
        map.iter().for_each(|(name, value)| encoder.push(name, value));
        encoder.finish().unwrap();
        bytes
    }

    #[test]
    fn the_example_of_the_spec_is_read_and_written() {
        let pairs = Pairs::parse(EXAMPLE).unwrap();
        assert_eq!(pairs.iter().collect::<Vec<_>>(), [(&b"a"[..], &b"1"[..]), (b"b", b"22")]);
        assert_eq!(encode(&PairsBuf::from_iter(pairs)), EXAMPLE);
    }

    #[test]
    fn an_empty_map_has_three_forms() {
        for bytes in [&b""[..], b"\0", b"\0\0\0\0"] {
            assert!(Pairs::parse(bytes).unwrap().is_empty(), "{bytes:?}");
        }
        assert_eq!(encode(&PairsBuf::new()), b"\0\0\0\0");
    }

    #[test]
    fn names_and_values_may_be_empty_and_hold_nul() {
        let map = PairsBuf::from_iter([("", ""), ("a\0b", "\0"), ("", "c")]);
        let bytes = encode(&map);
        assert!(Pairs::parse(&bytes).unwrap().iter().eq(map.iter()));
    }

    #[test]
    fn a_name_is_found_in_any_case() {
        let map = PairsBuf::from_iter([("X-Api", "1"), ("x-api", "2")]);
        assert_eq!(map.as_pairs().get(b"x-aPI"), Some(&b"1"[..]));
        assert_eq!(map.as_pairs().get(b"x-ap"), None);
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        for end in 1..EXAMPLE.len() {
            assert_eq!(Pairs::parse(&EXAMPLE[..end]).err(), Some(Status::BadArgument), "{end}");
        }
        let longer = [EXAMPLE, b"\0"].concat();
        assert_eq!(Pairs::parse(&longer).err(), Some(Status::BadArgument));
    }

    #[test]
    fn wrong_counts_and_lengths_are_refused() {
        for (place, value) in [
            (0, 1),
            (0, 3),
            (0, u32::MAX),
            // Eight times this number is 16 in 32 bits, and 20 fits.
            (0, 0x2000_0002),
            (4, 0),
            (4, 2),
            (4, u32::MAX),
            (16, 1),
            (16, 3),
            (16, u32::MAX - 1),
        ] {
            let mut bytes = EXAMPLE.to_vec();
            bytes[place..place + 4].copy_from_slice(&u32::to_le_bytes(value));
            assert_eq!(Pairs::parse(&bytes).err(), Some(Status::BadArgument), "{place} {value}");
        }
    }

    #[test]
    fn a_map_that_changed_between_the_walks_is_found_out() {
        let mut measure = Measure::default();
        measure.add(b"a", b"1");
        let mut bytes = vec![0; measure.size()];
        let mut written = |pairs: &[(&[u8], &[u8])]| {
            let mut encoder = Encoder::new(&mut bytes, measure)?;
            pairs.iter().for_each(|(name, value)| encoder.push(name, value));
            encoder.finish()
        };
        assert_eq!(written(&[(b"a", b"1")]), Ok(()));
        assert_eq!(written(&[]), Err(Status::SerializationFailure));
        assert_eq!(written(&[(b"a", b"")]), Err(Status::SerializationFailure));
        assert_eq!(written(&[(b"a", b"12")]), Err(Status::SerializationFailure));
        assert_eq!(written(&[(b"a", b"1"), (b"", b"")]), Err(Status::SerializationFailure));
        assert_eq!(written(&[(b"", b""), (b"", b"")]), Err(Status::SerializationFailure));
    }
}
