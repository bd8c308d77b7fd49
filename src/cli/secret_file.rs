//! Files that are read once, when the server starts, and may hold secrets: keys of a deployment, and its configuration. No
//! more of them is read than they take.

use std::{fs::File, io::Read, os::unix::fs::PermissionsExt, path::Path};

/// The text of such a file, and who may read it.
pub struct SecretFile {
    /// What stands in it. Never to be repeated.
    pub text: String,
    /// Whether every user of the machine may do something with it.
    pub is_open_to_others: bool,
}

impl SecretFile {
    /// Reads a file of at most that many bytes. The text of an error follows the file's name.
    pub fn read(path: &Path, most_bytes: u64) -> Result<Self, String> {
        let cannot = |error| format!("cannot be read: {error}");
        let file = File::open(path).map_err(cannot)?;
        // Of the file that was opened, not of what the path may lead to by then.
        let mode = file.metadata().map_err(cannot)?.permissions().mode();
        let mut text = String::new();
        let length = file.take(most_bytes + 1).read_to_string(&mut text).map_err(cannot)?;
        if length as u64 > most_bytes {
            return Err(format!("is larger than {most_bytes} bytes: name another file"));
        }
        // The group may read it: a key mounted into a container is often root's, and the server's by its group.
        Ok(Self { text, is_open_to_others: mode & OTHERS != 0 })
    }
}

/// The permissions of those who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;
