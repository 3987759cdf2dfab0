//! Redis' protocol, as far as a client needs it that passes replies on: what a plugin wrote of a
//! server, whether bytes are one command, how a command is written, and where a reply ends.
//!
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>

/// What a plugin says of a server: `[redis://|rediss://]TARGET[?NAME=VALUE&…]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server<'a> {
    /// All but the parameters: the name by which the plugin knows the server.
    pub name: &'a [u8],
    /// The target, in a form of [`super::Target`].
    pub target: &'a [u8],
    /// Whether to speak TLS: `rediss://`.
    pub tls: bool,
    parameters: &'a [u8],
}

impl<'a> Server<'a> {
    /// Reads what a plugin wrote.
    pub fn parse(text: &'a [u8]) -> Self {
        let (name, parameters) = match text.iter().position(|&byte| byte == b'?') {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &[][..]),
        };
        let (target, tls) = match (name.strip_prefix(b"rediss://"), name.strip_prefix(b"redis://")) {
            (Some(target), _) => (target, true),
            (None, Some(target)) => (target, false),
            (None, None) => (name, false),
        };
        Self { name, target, tls, parameters }
    }

    /// The parameter `db`: the number of the database; `None` if it is not a number.
    pub fn database(&self) -> Option<u32> {
        let value = self.parameters.split(|&byte| byte == b'&').find_map(|parameter| parameter.strip_prefix(b"db="));
        value.map_or(Some(0), |value| str::from_utf8(value).ok()?.parse().ok())
    }
}

/// Writes a command.
pub fn command(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Returns the name of the command, if the bytes are exactly one: a list of texts. What is no
/// command, or more than one, would shift the replies to other calls on the same connection.
pub fn command_name(bytes: &[u8]) -> Option<&[u8]> {
    let (count, mut rest) = line(bytes.strip_prefix(b"*")?)?;
    let count = number(count).filter(|count| *count > 0)?;
    let mut name = None;
    for _ in 0..count {
        let (length, after) = line(rest.strip_prefix(b"$")?)?;
        let length = usize::try_from(number(length)?).ok()?;
        let (argument, after) = after.split_at_checked(length)?;
        rest = after.strip_prefix(b"\r\n")?;
        name.get_or_insert(argument);
    }
    name.filter(|_| rest.is_empty())
}

/// Whether a connection cannot be used for other calls after this command, because it has another
/// login, database or mode then, or sends more than one reply.
pub fn changes_connection(name: &[u8]) -> bool {
    const NAMES: [&str; 22] = [
        "ASKING",
        "AUTH",
        "CLIENT",
        "HELLO",
        "MONITOR",
        "MULTI",
        "PSUBSCRIBE",
        "PSYNC",
        "PUNSUBSCRIBE",
        "QUIT",
        "READONLY",
        "READWRITE",
        "REPLCONF",
        "RESET",
        // `SCRIPT DEBUG`.
        "SCRIPT",
        "SELECT",
        "SSUBSCRIBE",
        "SUBSCRIBE",
        "SUNSUBSCRIBE",
        "SYNC",
        "UNSUBSCRIBE",
        "WATCH",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// A reply that is not Redis' protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadReply;

/// Finds the end of a reply while it comes. A value is not kept or built: it may be nested as deeply
/// as the server likes.
#[derive(Debug)]
pub struct ReplyEnd {
    /// How many values are still to come, with those inside of others.
    values: u64,
    /// Where the next value begins.
    at: usize,
    /// How far the end of its first line was looked for.
    searched: usize,
    /// The least length that the reply has, by what has come.
    least: usize,
}

/// The length of the shortest value.
const SHORTEST: u64 = b"_\r\n".len() as u64;

impl Default for ReplyEnd {
    fn default() -> Self {
        Self { values: 1, at: 0, searched: 0, least: 0 }
    }
}

impl ReplyEnd {
    /// The least length that the reply has. A reply can be refused by what it announces.
    pub fn least(&self) -> usize {
        self.least
    }

    /// Reads on in the bytes that have come, which are all from the reply's start. Returns the
    /// reply's length once it is complete. What a server pushes is not a reply: no command asked
    /// for it.
    ///
    /// # Errors
    /// [`BadReply`] for what is not a reply.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, BadReply> {
        while self.values > 0 {
            let Some(newline) = memchr::memchr(b'\n', &bytes[self.searched..]) else {
                self.searched = bytes.len();
                // A kind that there is not shall not be waited for.
                return bytes.get(self.at).map_or(Ok(None), |kind| is_kind(*kind).then_some(None).ok_or(BadReply));
            };
            let newline = self.searched + newline;
            let first = bytes[self.at..newline].strip_suffix(b"\r").ok_or(BadReply)?;
            let (kind, text) = first.split_first().ok_or(BadReply)?;
            let mut end = newline + 1;
            self.values -= 1;
            match kind {
                b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
                b'$' | b'!' | b'=' => {
                    if let Some(length) = size(text)? {
                        end = end.checked_add(length).and_then(|end| end.checked_add(2)).ok_or(BadReply)?;
                        if end > bytes.len() {
                            self.expect_from(end);
                            self.values += 1;
                            self.searched = newline;
                            return Ok(None);
                        }
                        if &bytes[end - 2..end] != b"\r\n" {
                            return Err(BadReply);
                        }
                    }
                }
                b'*' | b'~' => self.expect(size(text)?.unwrap_or(0), 1)?,
                b'%' => self.expect(size(text)?.unwrap_or(0), 2)?,
                // Attributes stand before the value that they belong to.
                b'|' => {
                    self.expect(size(text)?.unwrap_or(0), 2)?;
                    self.values += 1;
                }
                _ => return Err(BadReply),
            }
            self.at = end;
            self.searched = end;
            self.expect_from(end);
        }
        Ok(Some(self.at))
    }

    /// Notes that the values to come begin here.
    fn expect_from(&mut self, at: usize) {
        let values = usize::try_from(self.values.saturating_mul(SHORTEST)).unwrap_or(usize::MAX);
        self.least = at.saturating_add(values);
    }

    fn expect(&mut self, count: usize, each: u64) -> Result<(), BadReply> {
        let more = (count as u64).checked_mul(each).and_then(|more| self.values.checked_add(more));
        // One is left for what an attribute belongs to.
        self.values = more.filter(|values| *values < u64::MAX).ok_or(BadReply)?;
        Ok(())
    }
}

fn is_kind(kind: u8) -> bool {
    b"+-:_#,($!=*~%|".contains(&kind)
}

/// The size of a text or a list; `None` for null, which is -1.
fn size(text: &[u8]) -> Result<Option<usize>, BadReply> {
    if text == b"-1" {
        return Ok(None);
    }
    let size = number(text).and_then(|size| usize::try_from(size).ok());
    size.map(Some).ok_or(BadReply)
}

fn number(text: &[u8]) -> Option<u64> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Splits off the first line.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let newline = memchr::memchr(b'\n', bytes)?;
    Some((bytes[..newline].strip_suffix(b"\r")?, &bytes[newline + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_target_tls_and_a_database() {
        let server = Server::parse(b"rediss://cache.example:6380?buffer_flush_timeout=3&db=7");
        assert_eq!((server.target, server.tls, server.database()), (&b"cache.example:6380"[..], true, Some(7)));
        assert_eq!(server.name, b"rediss://cache.example:6380");
        let server = Server::parse(b"redis://a");
        assert_eq!((server.target, server.tls, server.database()), (&b"a"[..], false, Some(0)));
        assert_eq!(Server::parse(b"a?db=x").database(), None);
        assert_eq!(Server::parse(b"a?db=-1").database(), None);
    }

    #[test]
    fn a_command_is_a_list_of_texts() {
        let set = command(&[b"SET", b"a\r\nb", b""]);
        assert_eq!(set, b"*3\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n");
        assert_eq!(command_name(&set), Some(&b"SET"[..]));
        for bad in [
            &b""[..],
            b"PING\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"*1\r\n$4\r\nPING",
            b"*1\r\n$5\r\nPING\r\n",
            b"*1\r\n$+4\r\nPING\r\n",
            b"*1\r\n:1\r\n",
            b"*2\r\n$4\r\nPING\r\n",
            b"*18446744073709551615\r\n$4\r\nPING\r\n",
        ] {
            assert_eq!(command_name(bad), None, "{}", bad.escape_ascii());
        }
        assert_eq!(command_name(&[&set[..], &set].concat()), None, "two commands");
    }

    #[test]
    fn a_command_that_changes_its_connection_is_known_in_any_case() {
        assert!(changes_connection(b"SeLeCt"));
        assert!(!changes_connection(b"GET"));
    }

    #[test]
    fn a_reply_ends_where_its_last_value_does() {
        for reply in [
            &b"+OK\r\n"[..],
            b"-ERR no\r\n",
            b":-1\r\n",
            b"$-1\r\n",
            b"$0\r\n\r\n",
            b"$4\r\na\r\nb\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n*1\r\n$1\r\na\r\n*2\r\n:1\r\n+b\r\n",
            b"_\r\n",
            b"#t\r\n",
            b",1.5\r\n",
            b"(123456789012345678901234567890\r\n",
            b"=5\r\ntxt:a\r\n",
            b"~2\r\n+a\r\n+b\r\n",
            b"%1\r\n+a\r\n*1\r\n:1\r\n",
            b"|1\r\n+ttl\r\n:1\r\n$1\r\na\r\n",
        ] {
            let more = [reply, b"+more\r\n"].concat();
            assert_eq!(ReplyEnd::default().find(&more), Ok(Some(reply.len())), "{}", reply.escape_ascii());
            // Byte by byte.
            let mut end = ReplyEnd::default();
            for length in 0..reply.len() {
                assert_eq!(end.find(&reply[..length]), Ok(None), "{} of {}", length, reply.escape_ascii());
            }
            assert_eq!(end.find(reply), Ok(Some(reply.len())));
        }
    }

    #[test]
    fn what_is_not_a_reply_is_told() {
        for bad in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"H",
            b"\r\n",
            b"+OK\n",
            b"$x\r\n",
            b"$?\r\n",
            b"$-2\r\n",
            b"$1\r\nabc",
            b"*1\r\n?\r\n",
            b"$18446744073709551615\r\n",
            b"*2\r\n%18446744073709551615\r\n",
            b">2\r\n+invalidate\r\n_\r\n",
            b"*1\r\n>0\r\n",
            b">",
        ] {
            assert_eq!(ReplyEnd::default().find(bad), Err(BadReply), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_reply_says_early_how_long_it_is_at_least() {
        for (begin, least) in [
            (&b"$100\r\n"[..], 6 + 102),
            (b"*3\r\n$100\r\nab", 4 + 6 + 102 + 6),
            (b"*1000\r\n", 7 + 3000),
            (b"%1000\r\n+a\r\n", 7 + 4 + 1999 * 3),
            (b"|1\r\n", 4 + 9),
            (b"$9223372036854775800\r\n", 9_223_372_036_854_775_800 + 24),
            (b"*9223372036854775807\r\n", usize::MAX),
            (b"+", 0),
        ] {
            let mut end = ReplyEnd::default();
            assert_eq!(end.find(begin), Ok(None));
            assert_eq!(end.least(), least, "{}", begin.escape_ascii());
        }
    }

    #[test]
    fn deep_nesting_takes_no_stack() {
        let deep = b"*1\r\n".repeat(1_000_000);
        assert_eq!(ReplyEnd::default().find(&deep), Ok(None));
    }
}
