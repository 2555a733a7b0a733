//! Listening sockets, and the tasks that accept. They never decide who may stay.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sip::Transport;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tracing::warn;

use super::connection::Note;

/// Room for a burst while the endpoint is busy, in bytes; the kernel may give less.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Connections the kernel finishes before they are accepted.
const BACKLOG: i32 = 1024;
/// A pause where the system has no more descriptors: the next attempt would fail as well.
const BREATH: Duration = Duration::from_millis(100);

/// Ready to send: a socket that was never waited for says that it is not.
pub(super) async fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    // More is better, and less still works.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_send_buffer_size(RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    socket.writable().await?;
    Ok(socket)
}

pub(super) fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    // Connections of the process before us, in TIME_WAIT, are no reason not to start.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // The other family has sockets of its own, and peers have one form of address.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Accepts until it is dropped. Where the notes are not read, the kernel's backlog fills.
pub(super) async fn accept(listener: TcpListener, transport: Transport, notes: mpsc::Sender<Note>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                if notes.send(Note::Accepted { stream, from, transport }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // The peer may be gone already, or the system is out of descriptors.
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}
