//! `ngx_event_openssl.h`: TLS of connections to other servers.

use std::ffi::{CStr, CString, c_int};
use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::ptr;
use std::task::{Context, Poll};

use nginx_sys::{self as sys, SSL, ngx_ssl_t};

use crate::connection::{Connection, on_handshake};
use crate::{Conf, Log, rc, string};

/// What servers are trusted by, and with what limits: an `SSL_CTX`.
pub struct Tls {
    ssl: ngx_ssl_t,
    verify: bool,
}

/// What is asked of a server's certificate.
#[derive(Clone, Debug)]
pub struct Verify<'a> {
    /// Whether it is checked at all.
    pub enabled: bool,
    /// How many certificates may stand between the server's and a trusted one.
    pub depth: u32,
    /// A file of trusted certificates; without one, those of the system.
    pub trusted: Option<&'a [u8]>,
}

/// Why there is no TLS with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// The certificate is valid, but not for this server.
    HostMismatch,
    /// The certificate is not valid: OpenSSL's words.
    Certificate(String),
    /// The handshake did not succeed; nginx has logged OpenSSL's reason.
    Handshake,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostMismatch => f.write_str("certificate host mismatch"),
            Self::Certificate(reason) => write!(f, "certificate verify failed: {reason}"),
            Self::Handshake => f.write_str("TLS handshake failed"),
        }
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// Reads what it needs while nginx reads its configuration, with the rights of the master. `None` if that fails; nginx has
    /// logged why.
    pub fn new(cf: Conf, verify: &Verify<'_>) -> Option<Self> {
        // SAFETY: all zero is nginx's own way to start one.
        let mut this = Self { ssl: unsafe { std::mem::zeroed() }, verify: verify.enabled };
        this.ssl.log = cf.log().as_ptr();
        let protocols = sys::NGX_SSL_TLSv1_2 | sys::NGX_SSL_TLSv1_3;
        // A peer of ours may move what it wants to send between two tries, and may send a part of it.
        let mode = sys::SSL_MODE_ENABLE_PARTIAL_WRITE | sys::SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;
        // SAFETY: `ssl` is ours; the parser is nginx's; `ngx_ssl_create` made the context that the others take.
        unsafe {
            if sys::ngx_ssl_create(&raw mut this.ssl, protocols as _, ptr::null_mut()) != rc::OK {
                return None;
            }
            sys::SSL_CTX_ctrl(this.ssl.ctx, sys::SSL_CTRL_MODE as _, mode as _, ptr::null_mut());
            sys::SSL_CTX_set_verify_depth(this.ssl.ctx, verify.depth as c_int);
            match verify.trusted {
                _ if !verify.enabled => {}
                Some(file) => {
                    let mut file = cf.pool().copy(&[file, b"\0"].concat()).ok()?;
                    file.len -= 1;
                    if sys::ngx_ssl_trusted_certificate(
                        cf.as_ptr(),
                        &raw mut this.ssl,
                        &raw mut file,
                        verify.depth as _,
                    ) != rc::OK
                    {
                        return None;
                    }
                }
                None => {
                    sys::SSL_CTX_set_default_verify_paths(this.ssl.ctx);
                }
            }
        }
        Some(this)
    }

    /// Whether servers' certificates are checked.
    pub fn verifies(&self) -> bool {
        self.verify
    }

    /// Makes a connection a TLS one, to the server `name`, by one of `protocols` in ALPN's wire format (empty: not said).
    ///
    /// # Errors
    ///
    /// When the handshake fails or the server's certificate is not good for that name.
    pub async fn handshake(
        &self,
        connection: &mut Connection,
        name: &str,
        protocols: &[u8],
        log: Log,
    ) -> Result<(), TlsError> {
        self.prepare(connection, name, protocols, log).ok_or(TlsError::Handshake)?;
        let mut started = false;
        poll_fn(|cx| poll_handshake(connection, &mut started, cx)).await?;
        connection.take_back_events();
        self.check(ssl_of(connection))
    }

    fn prepare(&self, connection: &Connection, name: &str, protocols: &[u8], log: Log) -> Option<()> {
        let c_name = CString::new(name).ok()?;
        // SAFETY: the connection is open and has a pool; nginx only reads `ssl`, and holds a reference of its own to the
        // context; OpenSSL copies the name and the protocols.
        unsafe {
            // The log of the configuration is gone.
            let mut ssl = self.ssl;
            ssl.log = log.as_ptr();
            if sys::ngx_ssl_create_connection(&raw mut ssl, connection.as_ptr(), sys::NGX_SSL_CLIENT as _) != rc::OK {
                return None;
            }
            let ssl = ssl_of(connection);
            if !protocols.is_empty() && sys::SSL_set_alpn_protos(ssl, protocols.as_ptr(), protocols.len() as _) != 0 {
                return None;
            }
            let wanted = sys::SSL_get0_param(ssl);
            let done = match name.parse() {
                // The name of a server is never an address: RFC 6066, section 3.
                Ok(IpAddr::V4(ip)) => sys::X509_VERIFY_PARAM_set1_ip(wanted, ip.octets().as_ptr(), 4),
                Ok(IpAddr::V6(ip)) => sys::X509_VERIFY_PARAM_set1_ip(wanted, ip.octets().as_ptr(), 16),
                Err(_) => {
                    let (command, kind) = (sys::SSL_CTRL_SET_TLSEXT_HOSTNAME, sys::TLSEXT_NAMETYPE_host_name);
                    sys::SSL_ctrl(ssl, command as _, kind as _, c_name.as_ptr().cast_mut().cast());
                    sys::X509_VERIFY_PARAM_set1_host(wanted, c_name.as_ptr(), name.len())
                }
            };
            (done == 1).then_some(())
        }
    }

    /// As nginx does, the handshake is let through and the result looked at then: so its name can be told.
    fn check(&self, ssl: *mut SSL) -> Result<(), TlsError> {
        if !self.verify {
            return Ok(());
        }
        // SAFETY: the connection has finished its handshake; OpenSSL's text is static.
        let (result, text) = unsafe {
            let result = sys::SSL_get_verify_result(ssl);
            (result, CStr::from_ptr(sys::X509_verify_cert_error_string(result)))
        };
        match result as u32 {
            sys::X509_V_OK => Ok(()),
            sys::X509_V_ERR_HOSTNAME_MISMATCH | sys::X509_V_ERR_IP_ADDRESS_MISMATCH => Err(TlsError::HostMismatch),
            _ => Err(TlsError::Certificate(text.to_string_lossy().into_owned())),
        }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // SAFETY: the context is ours, or null; connections hold references of their own.
        unsafe { sys::ngx_ssl_cleanup_ctx((&raw mut self.ssl).cast()) }
    }
}

/// The protocol that the server chose by ALPN; empty if it chose none.
pub fn alpn_selected(connection: &Connection) -> &[u8] {
    let (mut data, mut len) = (ptr::null(), 0);
    // SAFETY: an open connection; `ssl` is null without TLS; the name lives as long as the connection.
    unsafe {
        if (*connection.as_ptr()).ssl.is_null() {
            return &[];
        }
        sys::SSL_get0_alpn_selected(ssl_of(connection), &raw mut data, &raw mut len);
        string::bytes(sys::ngx_str_t { len: len as usize, data: data.cast_mut() })
    }
}

/// OpenSSL's half of a TLS connection.
fn ssl_of(connection: &Connection) -> *mut SSL {
    // SAFETY: `prepare` made it a TLS connection.
    unsafe { (*(*connection.as_ptr()).ssl).connection }
}

fn poll_handshake(connection: &mut Connection, started: &mut bool, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
    let c = connection.as_ptr();
    // SAFETY: `prepare` made it a TLS connection. While the handshake lasts, nginx drives it by itself and calls the handler
    // when it is over.
    unsafe {
        if (*(*c).ssl).handshaked() != 0 {
            return Poll::Ready(Ok(()));
        }
        if *started {
            return Poll::Ready(Err(TlsError::Handshake));
        }
        *started = true;
        match sys::ngx_ssl_handshake(c) {
            rc::OK => Poll::Ready(Ok(())),
            rc::AGAIN => {
                (*(*c).ssl).handler = Some(on_handshake);
                connection.wait_for_reading(cx);
                Poll::Pending
            }
            _ => Poll::Ready(Err(TlsError::Handshake)),
        }
    }
}
