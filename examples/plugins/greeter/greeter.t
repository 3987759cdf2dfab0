# greeter: those who ask for it are greeted.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Example;

test_example(
    'greeter',
    languages => [qw(rust go)],
    cases     => [
        {   name    => 'who asks for it is greeted',
            conf    => 'good day',
            request => [GET => '/', headers => ['X-Greet' => 1]],
            body    => "good day\n",
            headers => { 'content-type' => 'text/plain' },
            log     => qr/\[info\] .*greeting with good day/,
        },
        {   name => 'the others pass',
            conf => 'good day',
            body => 'hello',
        },
        {   name   => 'a greeting must be text',
            conf   => "\xff",
            status => 503,
            log    => qr/\[error\] .*greeter: the greeting is not UTF-8/,
        },
    ],
);
