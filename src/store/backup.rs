//! Backups of the embedded store while it serves: only one process can have the file open, so the one that has it
//! writes an export to whoever connects to a socket beside the file. Who may, the socket's file mode says: its owner.

use super::{
    Store, StoreError,
    export::{Totals, export},
};
use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io::{self, BufWriter},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

/// How long the reader of an export may not read: the export keeps a snapshot of the file alive meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the exports of a file are served.
fn socket_of(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".backup");
    name.into()
}

/// Serves exports of the store in `file` for as long as the process runs, one after the other.
///
/// # Errors
///
/// When the socket cannot be made, for example because its path is longer than sockets may have.
pub fn serve(file: &Path, store: Arc<dyn Store>) -> Result<(), StoreError> {
    let path = socket_of(file);
    let failed = |error: io::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
    // Whoever left it there has ended: the store's file is ours.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
    let serve_all = move || {
        for stream in listener.incoming() {
            if let Err(problem) =
                stream.map_err(|error| error.to_string()).and_then(|stream| serve_one(&*store, stream))
            {
                tracing::warn!(problem, "a backup was not finished");
            }
        }
    };
    thread::Builder::new().name("backup".into()).spawn(serve_all).map_err(failed)?;
    Ok(())
}

fn serve_one(store: &dyn Store, stream: UnixStream) -> Result<(), String> {
    stream.set_write_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let exported = runtime.block_on(export(store, &mut BufWriter::new(stream))).map_err(|error| error.to_string())?;
    let Totals { merchants, sessions, unreadable } = exported.totals;
    tracing::info!(merchants, sessions, unreadable, "a backup was taken");
    Ok(())
}

/// The export of the server that has `file` open; `None` when none has.
///
/// # Errors
///
/// When there is a server, and it may not be asked.
pub fn connect(file: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(socket_of(file)) {
        Ok(stream) => {
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Some(stream))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}
