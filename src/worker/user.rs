//! Whether the user that workers run as can read the directories of plugins. The master, which is
//! root, finds that out before it forks.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};

use ngx_bindings::cycle::Cycle;
use ngx_bindings::log::Level;
use nix::unistd::{Gid, Uid, User, getgrouplist, getgroups, setfsgid, setfsuid, setgroups};

use crate::conf::HttpConf;

/// Whether a configuration of this process was accepted before.
static HAS_BEGUN: AtomicBool = AtomicBool::new(false);

/// Logs which directories the workers cannot read. Returns whether nginx is to start: an error here
/// would end a master that has workers already, so after a reload it is only logged.
pub fn can_read_directories(cycle: Cycle, said: &HttpConf) -> bool {
    let unreadable = as_worker(cycle, || said.unreadable_directories());
    let has_begun = HAS_BEGUN.load(Ordering::Relaxed);
    let level = if has_begun { Level::Error } else { Level::Emerg };
    if let Some(log) = cycle.log() {
        for fault in &unreadable {
            log.print(level, format_args!("{}{}", fault.message, fault.place));
        }
    }
    let starts = has_begun || unreadable.is_empty();
    HAS_BEGUN.store(starts, Ordering::Relaxed);
    starts
}

/// Does something that concerns files with the rights of the workers' user, if the master is root.
fn as_worker<R>(cycle: Cycle, body: impl FnOnce() -> R) -> R {
    let Some((user, group)) = cycle.worker_user().zip(cycle.worker_group()).filter(|(user, _)| *user != 0) else {
        return body();
    };
    let _rights = Rights::take(Uid::from_raw(user), Gid::from_raw(group));
    body()
}

/// The rights that this process had before.
struct Rights {
    user: Uid,
    group: Gid,
    groups: Option<Vec<Gid>>,
}

impl Rights {
    /// Takes the rights of a user as to files: the kernel leaves root's out for as long.
    fn take(user: Uid, group: Gid) -> Self {
        let name = User::from_uid(user).ok().flatten().and_then(|user| CString::new(user.name).ok());
        let groups = name.and_then(|name| getgrouplist(&name, group).ok()).unwrap_or_else(|| vec![group]);
        let before = getgroups().ok();
        // If root may not do this, the workers will find out.
        let changed = before.is_some() && setgroups(&groups).is_ok();
        Self { groups: before.filter(|_| changed), group: setfsgid(group), user: setfsuid(user) }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        setfsuid(self.user);
        setfsgid(self.group);
        if let Some(groups) = &self.groups {
            // It was so before.
            let _ = setgroups(groups);
        }
    }
}
