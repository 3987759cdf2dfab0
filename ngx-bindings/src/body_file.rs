//! `ngx_http_write_request_body`: the request's body in a temporary file.
//!
//! nginx's handler of a DAV `PUT` renames that file to the body's final place, so the file must
//! have a name. But the handler gets the body as the first reader has left it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr;

use nginx_sys::{self as sys, ngx_buf_t, ngx_temp_file_t};

use crate::chain::file_of;
use crate::live::zeroed;
use crate::pool::AllocError;
use crate::{Request, rc};

/// The part of a body that is in memory at a time while it is copied.
const PIECE: usize = 64 << 10;

impl<'r> Request<'r> {
    /// Returns whether the request may reach nginx's handler of `PUT`, which is one of the handlers
    /// of the content phase: they run where the location does not name a handler.
    pub(crate) fn may_need_named_body_file(self) -> bool {
        self.raw().method as u32 == sys::NGX_HTTP_PUT && self.raw().content_handler.is_none()
    }

    /// Makes nginx read the body as its handler of `PUT` does.
    pub(crate) fn ask_for_named_body_file(self) {
        self.set_request_body_in_file_only_bit(1);
        self.set_request_body_in_persistent_file_bit(1);
        self.set_request_body_in_clean_file_bit(1);
        self.set_request_body_file_group_access_bit(1);
        self.set_request_body_file_log_level_bits(0);
    }

    /// Returns whether nginx must keep the body in a file, because of `client_body_in_file_only` or
    /// because a handler needs the file.
    pub(crate) fn must_keep_body_in_file(self) -> bool {
        self.request_body_in_file_only_bit() != 0 || self.may_need_named_body_file()
    }

    /// Makes sure, after [`Self::read_body`], that nginx's handler of `PUT` finds the body in a
    /// file with a name: the body may have been read for another location.
    pub fn name_body_file(self) -> Result<(), AllocError> {
        // The file of a subrequest is that of the client's request.
        if !self.may_need_named_body_file() || self.is_subrequest() {
            return Ok(());
        }
        match self.body_file() {
            None => return Ok(()),
            Some(Some(file)) if file.persistent() != 0 => return Ok(()),
            Some(_) => {}
        }
        self.ask_for_named_body_file();
        let (chain, size) = (self.body(), self.body().size());
        let file = self.make_body_file()?;
        let open = file_of(&file.file);
        copy(size, |start, into| chain.read(start, into), &open).map_err(|_| AllocError)?;
        self.put_body_in(file, size)
    }

    /// Writes these bytes as the body, to the body's file or to a new one.
    pub(crate) fn write_body_file(self, bytes: &[u8]) -> Result<(), AllocError> {
        let file = self.body_file().ok_or(AllocError)?;
        let needs_name = self.may_need_named_body_file();
        if needs_name {
            self.ask_for_named_body_file();
        }
        let file = match file {
            Some(file) if !needs_name || file.persistent() != 0 => file,
            _ => self.make_body_file()?,
        };
        let open = file_of(&file.file);
        open.set_len(0).and_then(|()| open.write_all_at(bytes, 0)).map_err(|_| AllocError)?;
        self.put_body_in(file, bytes.len())
    }

    /// The file of a body that was read; `Some(None)` if the body has none.
    fn body_file(self) -> Option<Option<&'r mut ngx_temp_file_t>> {
        let parts = self.read_parts()?;
        // SAFETY: null, or a file in the request's pool.
        Some(unsafe { parts.get().temp_file.as_mut() })
    }

    /// Makes a new file, with the lifetime and the rights that the request asks for.
    fn make_body_file(self) -> Result<&'r mut ngx_temp_file_t, AllocError> {
        let made = self.pool().put::<ngx_temp_file_t>(zeroed())?;
        made.file.fd = sys::NGX_INVALID_FILE as _;
        made.file.log = self.log().as_ptr();
        made.path = self.core_loc_conf().client_body_temp_path;
        made.pool = self.pool().as_ptr();
        made.set_persistent(self.request_body_in_persistent_file_bit());
        made.set_clean(self.request_body_in_clean_file_bit());
        made.access = if self.request_body_file_group_access_bit() != 0 { 0o660 } else { 0 };
        let (path, pool, access) = (made.path, made.pool, made.access);
        let (persistent, clean) = (made.persistent() as _, made.clean() as _);
        // SAFETY: the file and its pool are valid; the path is the configuration's.
        match unsafe { sys::ngx_create_temp_file(&raw mut made.file, path, pool, persistent, clean, access) } {
            rc::OK => Ok(made),
            _ => Err(AllocError),
        }
    }

    /// Makes the content of a file the body.
    fn put_body_in(self, file: &mut ngx_temp_file_t, size: usize) -> Result<(), AllocError> {
        let pool = self.pool();
        let mut parts = self.read_parts().ok_or(AllocError)?;
        let body = parts.get_mut();
        file.file.offset = size as _;
        file.offset = size as _;
        body.temp_file = file;
        body.buf = ptr::null_mut();
        body.bufs = ptr::null_mut();
        if size > 0 {
            let mut buf = zeroed::<ngx_buf_t>();
            buf.set_in_file(1);
            buf.set_last_buf(1);
            buf.file = &raw mut file.file;
            buf.file_last = size as _;
            body.bufs = pool.chain_of(buf)?;
        }
        Ok(())
    }
}

fn copy(size: usize, read: impl Fn(usize, &mut [u8]) -> io::Result<()>, to: &File) -> io::Result<()> {
    let mut piece = vec![0; PIECE.min(size)];
    for start in (0..size).step_by(PIECE) {
        let part = PIECE.min(size - start);
        read(start, &mut piece[..part])?;
        to.write_all_at(&piece[..part], start as u64)?;
    }
    Ok(())
}
