//! `ngx_http_write_request_body`: the request's body in a temporary file.
//!
//! nginx's handler of a DAV `PUT` renames that file to the body's final place, so the file must
//! have a name. But the handler gets the body as the first reader has left it.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;

use nginx_sys::{
    self as sys, ngx_buf_t, ngx_chain_t, ngx_http_core_loc_conf_t, ngx_http_request_body_t, ngx_temp_file_t,
};

use crate::pool::AllocError;
use crate::{Request, rc};

/// The part of a body that is in memory at a time while it is copied.
const PIECE: usize = 64 << 10;

impl Request {
    /// Returns whether the request may reach nginx's handler of `PUT`, which is one of the handlers
    /// of the content phase: they run where the location does not name a handler.
    pub(crate) fn may_need_named_body_file(self) -> bool {
        // SAFETY: the request is valid by the handle's contract.
        unsafe { (*self.as_ptr()).method as u32 == sys::NGX_HTTP_PUT && (*self.as_ptr()).content_handler.is_none() }
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
        if !self.may_need_named_body_file() {
            return Ok(());
        }
        // SAFETY: the request is valid; `request_body` and its file are null or valid.
        unsafe {
            let Some(body) = (*self.as_ptr()).request_body.as_mut() else { return Ok(()) };
            if body.temp_file.as_ref().is_some_and(|file| file.persistent() != 0) {
                return Ok(());
            }
            self.ask_for_named_body_file();
            let (chain, size) = (self.body(), self.body().size());
            let file = self.make_body_file()?;
            copy(size, |start, into| chain.read(start, into), &file_of(file)).map_err(|_| AllocError)?;
            self.put_body_in(body, file, size)
        }
    }

    /// Writes these bytes as the body, to the body's file or to a new one.
    pub(crate) fn write_body_file(self, bytes: &[u8]) -> Result<(), AllocError> {
        // SAFETY: the request is valid; `request_body` and its file are null or valid.
        unsafe {
            let body = (*self.as_ptr()).request_body.as_mut().ok_or(AllocError)?;
            let needs_name = self.may_need_named_body_file();
            if needs_name {
                self.ask_for_named_body_file();
            }
            let file = match body.temp_file.as_ref() {
                Some(file) if !needs_name || file.persistent() != 0 => body.temp_file,
                _ => self.make_body_file()?,
            };
            let written = file_of(file).set_len(0).and_then(|()| file_of(file).write_all_at(bytes, 0));
            written.map_err(|_| AllocError)?;
            self.put_body_in(body, file, bytes.len())
        }
    }

    /// Makes a new file, with the lifetime and the rights that the request asks for.
    unsafe fn make_body_file(self) -> Result<*mut ngx_temp_file_t, AllocError> {
        // SAFETY: the request is valid; fresh memory; the location's configuration is the core
        // module's.
        unsafe {
            let core: *mut ngx_http_core_loc_conf_t = self.loc_conf(&raw const sys::ngx_http_core_module);
            let file: *mut ngx_temp_file_t = self.pool().alloc()?;
            file.write(std::mem::zeroed());
            let made = &mut *file;
            made.file.fd = sys::NGX_INVALID_FILE as _;
            made.file.log = self.log().as_ptr();
            made.path = (*core).client_body_temp_path;
            made.pool = self.pool().as_ptr();
            made.set_persistent(self.request_body_in_persistent_file_bit());
            made.set_clean(self.request_body_in_clean_file_bit());
            made.access = if self.request_body_file_group_access_bit() != 0 { 0o660 } else { 0 };
            let (persistent, clean) = (made.persistent() as _, made.clean() as _);
            let path = made.path;
            match sys::ngx_create_temp_file(&raw mut made.file, path, made.pool, persistent, clean, made.access) {
                rc::OK => Ok(file),
                _ => Err(AllocError),
            }
        }
    }

    /// Makes the content of a file the body.
    unsafe fn put_body_in(
        self,
        body: &mut ngx_http_request_body_t,
        file: *mut ngx_temp_file_t,
        size: usize,
    ) -> Result<(), AllocError> {
        // SAFETY: the file is in the request's pool, and the memory is fresh.
        unsafe {
            (*file).file.offset = size as _;
            (*file).offset = size as _;
            body.temp_file = file;
            body.buf = std::ptr::null_mut();
            body.bufs = std::ptr::null_mut();
            if size > 0 {
                let buf: *mut ngx_buf_t = self.pool().alloc()?;
                let chain: *mut ngx_chain_t = self.pool().alloc()?;
                buf.write(std::mem::zeroed());
                (*buf).set_in_file(1);
                (*buf).set_last_buf(1);
                (*buf).file = &raw mut (*file).file;
                (*buf).file_last = size as _;
                chain.write(ngx_chain_t { buf, next: std::ptr::null_mut() });
                body.bufs = chain;
            }
        }
        Ok(())
    }
}

/// The open file; nginx closes it.
unsafe fn file_of(file: *mut ngx_temp_file_t) -> ManuallyDrop<File> {
    // SAFETY: by the caller's contract, the file is valid and open.
    ManuallyDrop::new(unsafe { File::from_raw_fd((*file).file.fd) })
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
