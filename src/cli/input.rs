//! A file that is named on the command line, where `-` is standard input. Never reads more of it than it may have.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The text of a file of at most that many bytes.
pub fn read(file: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(bytes_max + 1).read_to_string(&mut text)?
    } else {
        File::open(file)?.take(bytes_max + 1).read_to_string(&mut text)?
    };
    if read as u64 > bytes_max {
        return Err(io::Error::other(format!("it is larger than {bytes_max} bytes")));
    }
    Ok(text)
}

/// What to call it.
pub fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".into() } else { file.display().to_string() }
}
