# log: a line for every request.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Example;

test_example(
    'log',
    languages => [qw(rust go c)],
    cases     => [
        {   name => 'the line says who ran, with which configuration',
            conf => 'blah',
            body => 'hello',
            log  => qr/\[warn\] .*run plugin ctx \d+ with conf blah in http ctx \d+,? .*client: /,
        },
        {   name    => 'for a request with a body, too',
            conf    => 'another',
            request => [POST => '/echo', body => 'body'],
            body    => 'body',
            log     => qr/\[warn\] .*run plugin ctx \d+ with conf another in http ctx \d+\b/,
        },
    ],
);
