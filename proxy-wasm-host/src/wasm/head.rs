//! The sections of a module's file that say what the module needs and has. They are short and can
//! be read at once, however large the file is.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use super::module::looks_like_wasm;
use crate::error::Error;

/// The most bytes that are read of a file. What is beyond is left to the compiler.
const MOST: u64 = 1 << 20;

/// The most bytes of a text that is read as a whole: reading one takes longer.
const MOST_TEXT: u64 = 64 << 10;

/// The most sections that are looked at. Each costs a few calls of the system, and an empty one has two
/// bytes. Modules have a dozen, and sections of tools.
const MOST_SECTIONS: u32 = 1000;

/// A binary module's first bytes, with its version.
const HEADER: usize = 8;

/// The number of the section of code. Those before it, except sections of tools, are needed.
const CODE: u8 = 10;

/// Returns a module without code that has the imports and exports of the one in the file; `None` if
/// the file is too large for that, has too many sections, or is not understood.
///
/// # Errors
/// When the file is not a module, or a part of one; or the system's error.
pub fn read(file: &mut (impl Read + Seek)) -> io::Result<Result<Option<Vec<u8>>, Error>> {
    let mut head = Vec::new();
    file.by_ref().take(HEADER as u64).read_to_end(&mut head)?;
    if !head.starts_with(b"\0asm") {
        return read_text(file);
    }
    if head.len() < HEADER {
        return Ok(Err(cut_off()));
    }
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = file.seek(SeekFrom::Start(HEADER as u64))?;
    let mut sections = 0;
    while at < end {
        sections += 1;
        if sections > MOST_SECTIONS {
            return Ok(Ok(None));
        }
        let Some((id, size, header)) = section(file)? else { return Ok(Ok(None)) };
        let next = at + header.len() as u64 + size;
        if next > end {
            return Ok(Err(cut_off()));
        }
        if id != 0 && id < CODE {
            if head.len() as u64 + size > MOST {
                return Ok(Ok(None));
            }
            head.extend(&header);
            file.by_ref().take(size).read_to_end(&mut head)?;
        }
        at = file.seek(SeekFrom::Start(next))?;
    }
    Ok(Ok(Some(head)))
}

/// Returns a section's number, its size, and the bytes of both; `None` if it has none.
fn section(file: &mut impl Read) -> io::Result<Option<(u8, u64, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    let mut size = 0;
    while bytes.len() < 2 || bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
        match file.read_exact(&mut byte) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        if let Some(place) = bytes.len().checked_sub(1) {
            if place == 5 {
                return Ok(None);
            }
            size |= u64::from(byte[0] & 0x7f) << (7 * place);
        }
        bytes.push(byte[0]);
    }
    Ok(Some((bytes[0], size, bytes)))
}

fn read_text(file: &mut (impl Read + Seek)) -> io::Result<Result<Option<Vec<u8>>, Error>> {
    file.rewind()?;
    let mut text = Vec::new();
    file.by_ref().take(MOST_TEXT + 1).read_to_end(&mut text)?;
    if !looks_like_wasm(&text) {
        return Ok(Err(Error::NotWasm));
    }
    if text.len() as u64 > MOST_TEXT {
        return Ok(Ok(None));
    }
    // A fault of the text is told by the compiler, in its words.
    let binary = wat::parse_bytes(&text).ok();
    binary.map_or(Ok(Ok(None)), |binary| read(&mut io::Cursor::new(binary)))
}

fn cut_off() -> Error {
    Error::Compile(wasmtime::Error::msg("the file ends within a section: was it copied as a whole?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        read(&mut io::Cursor::new(bytes)).unwrap()
    }

    #[test]
    fn code_and_data_are_left_out() {
        let text =
            r#"(module (import "env" "f" (func)) (memory (export "memory") 1) (data (i32.const 0) "text") (func nop))"#;
        let whole = wat::parse_str(text).unwrap();
        let head = read_bytes(&whole).unwrap().unwrap();
        assert!(head.len() < whole.len());
        let names = |bytes: &[u8]| [&b"memory"[..], b"env"].map(|name| bytes.windows(name.len()).any(|at| at == name));
        assert_eq!(names(&head), [true, true]);
        assert!(!head.windows(4).any(|at| at == b"text"));
        assert_eq!(read_bytes(text.as_bytes()).unwrap(), Some(head), "of its text, too");
    }

    #[test]
    fn a_part_of_a_module_is_a_fault_wherever_it_ends_within_a_section() {
        let whole = wat::parse_str(r#"(module (memory 1) (data (i32.const 0) "text") (func nop))"#).unwrap();
        let faults = (0..whole.len()).filter(|&length| read_bytes(&whole[..length]).is_err()).count();
        assert!(faults > whole.len() / 2, "{faults}");
        assert!(read_bytes(&whole[..whole.len() - 1]).is_err());
    }

    /// A file that counts how often it is read.
    struct Counted<'a>(io::Cursor<&'a [u8]>, usize);

    impl Read for Counted<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            self.0.read(into)
        }
    }

    impl Seek for Counted<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn a_file_of_many_sections_is_read_no_longer_than_others() {
        let whole = [&b"\0asm\x01\0\0\0"[..], &b"\0\x01\0".repeat(1 << 16)].concat();
        let mut file = Counted(io::Cursor::new(&whole), 0);
        assert_eq!(read(&mut file).unwrap().unwrap(), None);
        assert!(file.1 < 10_000, "{} reads", file.1);
    }

    #[test]
    fn what_is_large_or_strange_is_left_to_the_compiler() {
        let large = [&b"\0asm\x01\0\0\0\x01\x80\x80\x80\x01"[..], &vec![0; 2 << 20]].concat();
        assert_eq!(read_bytes(&large).unwrap(), None);
        assert_eq!(read_bytes(b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff\xff").unwrap(), None);
        assert_eq!(read_bytes(b"(module (func $wrong").unwrap(), None);
        for bytes in [&b""[..], b"<html>"] {
            assert!(matches!(read_bytes(bytes), Err(Error::NotWasm)));
        }
    }
}
