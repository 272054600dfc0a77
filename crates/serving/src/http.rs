//! The sockets of a server, with threads of their own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Threads that read and write sockets; they never multiply matrices.
const THREADS: usize = 2;

/// A router that listens.
pub struct Http {
    runtime: Runtime,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Http {
    /// Listens at an address; port 0 takes a free one. A client that takes nothing of what is sent to it for as long as `patience` is
    /// cut off.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn listen(router: Router, address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("http")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let listener = listener.tap_io(move |stream| {
            // Where these cannot be had, the server works all the same.
            let _ = stream.set_nodelay(true);
            #[cfg(target_os = "linux")]
            let _ = socket2::SockRef::from(&*stream).set_tcp_user_timeout(Some(patience));
        });
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            // Dropping the other end stops it as well.
            let _ = stopped.await;
        });
        let serving = runtime.spawn(async move { server.await });
        Ok(Self {
            runtime,
            address,
            stop,
            serving,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens no more, and lets what is being sent end within `patience`.
    pub fn stop(self, patience: Duration) {
        let Self {
            runtime, stop, serving, ..
        } = self;
        let _ = stop.send(());
        let _ = runtime.block_on(async { tokio::time::timeout(patience, serving).await });
        runtime.shutdown_timeout(Duration::ZERO);
    }
}
