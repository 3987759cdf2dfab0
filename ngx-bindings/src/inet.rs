//! `ngx_inet.h`: socket addresses.

use std::fmt;
use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use nginx_sys::{
    self as sys, in_addr, in6_addr, in6_addr__bindgen_ty_1, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_un, socklen_t,
};

/// An address that a server listens on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A path in the file system.
    Unix(Vec<u8>),
}

impl Address {
    /// Returns the same host with another port.
    pub fn with_port(mut self, port: u16) -> Self {
        if let Self::Ip(address) = &mut self {
            address.set_port(port);
        }
        self
    }

    /// Reads an address that nginx keeps; `None` for a family that this module does not support.
    ///
    /// # Safety
    ///
    /// `address` points at a socket address of its family, `len` bytes long.
    pub(crate) unsafe fn from_raw(address: *const sockaddr, len: socklen_t) -> Option<Self> {
        // SAFETY: by this function's contract.
        match u32::from(unsafe { (*address).sa_family }) {
            sys::AF_INET => {
                // SAFETY: as above; nginx aligns its addresses for their family.
                let raw = unsafe { &*address.cast::<sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
                Some(Self::Ip(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into()))
            }
            sys::AF_INET6 => {
                // SAFETY: as above.
                let raw = unsafe { &*address.cast::<sockaddr_in6>() };
                // SAFETY: the bytes of an address in any of its forms.
                let ip = Ipv6Addr::from(unsafe { raw.sin6_addr.__in6_u.__u6_addr8 });
                Some(Self::Ip(SocketAddrV6::new(ip, u16::from_be(raw.sin6_port), 0, raw.sin6_scope_id).into()))
            }
            sys::AF_UNIX => {
                // SAFETY: as above.
                let raw = unsafe { &*address.cast::<sockaddr_un>() };
                let len = (len as usize).saturating_sub(offset_of!(sockaddr_un, sun_path)).min(raw.sun_path.len());
                let path = raw.sun_path[..len].iter().map(|&c| c as u8);
                Some(Self::Unix(path.take_while(|&c| c != 0).collect()))
            }
            _ => None,
        }
    }
}

/// Prints the address as nginx does: `127.0.0.1:80`, `[::1]:80`, `unix:/path`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.escape_ascii()),
        }
    }
}

/// An address in the system's form.
pub(crate) union SocketAddress {
    v4: sockaddr_in,
    v6: sockaddr_in6,
    unix: sockaddr_un,
}

impl SocketAddress {
    /// Converts an address, and returns it with its length; `None` for a path that is too long.
    pub(crate) fn new(address: &Address) -> Option<(Self, socklen_t)> {
        let (raw, len) = match address {
            Address::Ip(SocketAddr::V4(address)) => {
                let v4 = sockaddr_in {
                    sin_family: sys::AF_INET as _,
                    sin_port: address.port().to_be(),
                    sin_addr: in_addr { s_addr: u32::from(*address.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                (Self { v4 }, size_of::<sockaddr_in>())
            }
            Address::Ip(SocketAddr::V6(address)) => {
                let v6 = sockaddr_in6 {
                    sin6_family: sys::AF_INET6 as _,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: in6_addr { __in6_u: in6_addr__bindgen_ty_1 { __u6_addr8: address.ip().octets() } },
                    sin6_scope_id: address.scope_id(),
                };
                (Self { v6 }, size_of::<sockaddr_in6>())
            }
            Address::Unix(path) => {
                let mut unix = sockaddr_un { sun_family: sys::AF_UNIX as _, sun_path: [0; 108] };
                // Leaves the last byte NUL.
                if path.is_empty() || path.len() >= unix.sun_path.len() {
                    return None;
                }
                unix.sun_path.iter_mut().zip(path).for_each(|(to, from)| *to = *from as _);
                (Self { unix }, size_of::<sockaddr_un>())
            }
        };
        Some((raw, len as socklen_t))
    }
}
