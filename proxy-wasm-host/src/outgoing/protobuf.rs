//! The wire format of Protocol Buffers, as far as needed to find one field in a message.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

/// Finds a text or message in a message of Protocol Buffers. If the number occurs several times,
/// the last counts, as the format's rules say.
pub fn field(message: &[u8], number: u64) -> Option<&[u8]> {
    let mut rest = message;
    let mut found = None;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => drop(varint(&mut rest)?),
            1 => drop(rest.split_off(..8)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let value = rest.split_off(..length)?;
                if tag >> 3 == number {
                    found = Some(value);
                }
            }
            5 => drop(rest.split_off(..4)?),
            _ => return None,
        }
    }
    found
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_behind_others_of_every_kind() {
        let message = [
            &[0x08, 0xff, 0x01][..],                  // 1: a number
            &[0x11, 1, 2, 3, 4, 5, 6, 7, 8],          // 2: eight bytes
            &[0x1d, 1, 2, 3, 4],                      // 3: four bytes
            &[0x22, 2, b'a', b'b'],                   // 4: bytes
            &[0xfa, 0xff, 0xff, 0xff, 0x0f, 1, b'c'], // the greatest number of a field
        ]
        .concat();
        assert_eq!(field(&message, 4), Some(&b"ab"[..]));
        assert_eq!(field(&message, (1 << 29) - 1), Some(&b"c"[..]));
        assert_eq!(field(&message, 1), None, "not bytes");
        assert_eq!(field(&message, 5), None);
    }

    #[test]
    fn the_last_of_several_counts() {
        assert_eq!(field(&[0x0a, 1, b'a', 0x0a, 1, b'b'], 1), Some(&b"b"[..]));
    }

    #[test]
    fn what_is_not_a_message_has_no_field() {
        let wrong: [&[u8]; 8] = [
            &[0x0a],                                                             // no length
            &[0x0a, 5, b'a'],                                                    // too few bytes
            &[0x0a, 1, b'a', 0x80],                                              // a tag that does not end
            &[0x0a, 1, b'a', 0x0b],                                              // a group
            &[0x0a, 1, b'a', 0x09, 1, 2, 3],                                     // seven bytes short
            &[0x0a, 1, b'a', 0x0d, 1],                                           // three bytes short
            &[0x0a, 1, b'a', 0x08],                                              // no number
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], // a length that is too large
        ];
        for message in wrong {
            assert_eq!(field(message, 1), None, "{message:x?}");
        }
    }

    #[test]
    fn a_number_has_at_most_ten_bytes() {
        assert_eq!(varint(&mut &[0xff; 10][..]), None);
        assert_eq!(varint(&mut &[0xac, 0x02][..]), Some(300));
        assert_eq!(varint(&mut &[][..]), None);
    }
}
