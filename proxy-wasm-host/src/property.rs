//! The path of a property: spec v0.2.1, "Properties".

/// Segments separated by NUL, such as `request\0headers\0host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertyPath<'a>(&'a [u8]);

impl<'a> PropertyPath<'a> {
    /// The path that a plugin gave. Some SDKs also end the last segment with a NUL, which does not
    /// begin another segment.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.strip_suffix(b"\0").unwrap_or(bytes))
    }

    /// The path as it was given, without a last NUL.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The segments, in order. The empty path has one segment, which is empty.
    pub fn segments(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0.split(|&byte| byte == 0)
    }

    /// The segment, if there is exactly one.
    pub fn single(&self) -> Option<&'a [u8]> {
        (!self.0.contains(&0)).then_some(self.0)
    }

    /// The first segment; and the path behind it, if there are more.
    pub fn split_first(&self) -> (&'a [u8], Option<Self>) {
        match self.0.iter().position(|&byte| byte == 0) {
            Some(end) => (&self.0[..end], Some(Self(&self.0[end + 1..]))),
            None => (self.0, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &[u8]) -> Vec<&[u8]> {
        PropertyPath::new(path).segments().collect()
    }

    #[test]
    fn segments_are_separated_by_nul() {
        assert_eq!(segments(b"request\0headers\0host"), [&b"request"[..], b"headers", b"host"]);
        assert_eq!(segments(b"host"), [b"host"]);
        assert_eq!(segments(b"a\0\0b"), [&b"a"[..], b"", b"b"]);
        assert_eq!(segments(b""), [b""]);
    }

    #[test]
    fn one_last_nul_is_no_segment() {
        assert_eq!(segments(b"request\0path\0"), [&b"request"[..], b"path"]);
        assert_eq!(segments(b"host\0\0"), [&b"host"[..], b""]);
        assert_eq!(PropertyPath::new(b"host\0"), PropertyPath::new(b"host"));
    }

    #[test]
    fn single_is_the_only_segment() {
        assert_eq!(PropertyPath::new(b"host").single(), Some(&b"host"[..]));
        assert_eq!(PropertyPath::new(b"host\0").single(), Some(&b"host"[..]));
        assert_eq!(PropertyPath::new(b"request\0path").single(), None);
    }

    #[test]
    fn split_first_leaves_the_rest_of_the_path() {
        let (first, rest) = PropertyPath::new(b"request\0headers\0host").split_first();
        assert_eq!((first, rest.map(|path| path.as_bytes())), (&b"request"[..], Some(&b"headers\0host"[..])));
        assert_eq!(PropertyPath::new(b"host").split_first(), (&b"host"[..], None));
    }
}
