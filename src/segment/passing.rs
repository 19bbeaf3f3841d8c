//! Handing a segment without a name to another process.
//!
//! A forked child has all descriptors of its parent. A program that is started by exec
//! has only those without the close-on-exec flag ([`keep_across_exec`]); tell it the
//! number, and it opens `fd:N`. Over a Unix socket go [`send_fd`] and [`recv_fd`]; the
//! received descriptor has a number of its own, for [`Segment::fd`](super::Segment::fd).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::io::{Errno, FdFlags};
use rustix::net::sockopt::{Timeout, socket_timeout};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::SegmentError;
use crate::sys::retry::interrupted;

/// Control messages travel with at least one byte of data. Its value lets the receiver
/// notice that the two sides do not agree on whose turn it is.
const MARK: u8 = 0xFD;

/// Sends a descriptor over a connected Unix socket, with one byte of data.
///
/// # Errors
/// What the kernel says: the peer is gone, or a non-blocking socket is full.
pub fn send_fd(socket: impl AsFd, fd: impl AsFd) -> Result<(), SegmentError> {
    let fds = [fd.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(failed("send a descriptor", Errno::NOBUFS.into()));
    }
    let data = [IoSlice::new(&[MARK])];
    interrupted(|| rustix::net::sendmsg(&socket, &data, &mut control, SendFlags::NOSIGNAL))
        .map_err(|errno| failed("send a descriptor", errno.into()))?;
    Ok(())
}

/// Receives a descriptor that the peer sends with [`send_fd`], waiting for it if the
/// socket is a blocking one: without end, unless the socket has a receive timeout
/// (`SO_RCVTIMEO`). It is closed on exec.
///
/// # Errors
/// What the kernel says; or the peer has closed the socket, or sent something else.
pub fn recv_fd(socket: impl AsFd) -> Result<OwnedFd, SegmentError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    // Waiting for the peer is what the call is for, so signals do not end it; the socket's own
    // receive timeout does, however many signals restart it.
    let timeout = socket_timeout(&socket, Timeout::Recv)
        .map_err(|errno| failed("receive a descriptor", errno.into()))?;
    let begin = Instant::now();
    let received = loop {
        let mut data = [IoSliceMut::new(&mut byte)];
        match rustix::net::recvmsg(&socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(Errno::INTR) if timeout.is_none_or(|timeout| begin.elapsed() < timeout) => {}
            Err(errno) => return Err(failed("receive a descriptor", errno.into())),
        }
    };
    // Take them all out, so that what nobody asked for is closed and not leaked.
    let mut fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    let problem = match (received.bytes, byte[0], fds.len()) {
        (0, ..) => "the peer has closed the socket",
        (_, MARK, 1) => return Ok(fds.swap_remove(0)),
        (_, _, 0) => "the peer sent data without a descriptor",
        (_, MARK, _) => "the peer sent more than one descriptor",
        _ => "the peer sent a descriptor that is not for us",
    };
    Err(failed("receive a descriptor", io::Error::other(problem)))
}

/// Lets programs that this process starts inherit a descriptor: clears its
/// close-on-exec flag, which all descriptors of this library have.
///
/// It concerns every program that any thread starts from now on. To limit it to one,
/// call this between fork and exec (`CommandExt::pre_exec`): it makes two system calls,
/// and allocates only for an error, which an open descriptor gives no reason for.
///
/// # Errors
/// What the kernel says.
pub fn keep_across_exec(fd: impl AsFd) -> Result<(), SegmentError> {
    let fd = fd.as_fd();
    rustix::io::fcntl_getfd(fd)
        .and_then(|flags| rustix::io::fcntl_setfd(fd, flags - FdFlags::CLOEXEC))
        .map_err(|errno| failed("keep a descriptor across exec", errno.into()))
}

fn failed(action: &str, source: io::Error) -> SegmentError {
    SegmentError::Io {
        context: format!("cannot {action}"),
        source,
    }
}
