package ProxyWasm::Message;

# Messages of Protocol Buffers, and other bytes, as scripts of the guest write them.

use strict;
use warnings;

use Exporter 'import';
our @EXPORT_OK = qw(hex_of message);

sub hex_of { return '{"hex": "' . unpack('H*', $_[0]) . '"}' }

# A message: numbers of fields with their bytes.
sub message {
    my $message = '';
    while (my ($number, $bytes) = splice @_, 0, 2) {
        my ($length, $varint) = (length $bytes, '');
        do { $varint .= chr(($length & 0x7f) | ($length > 0x7f ? 0x80 : 0)) } while $length >>= 7;
        $message .= chr($number << 3 | 2) . $varint . $bytes;
    }
    return hex_of($message);
}

1;
