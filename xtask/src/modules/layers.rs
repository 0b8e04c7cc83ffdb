//! The layers of the product's modules. A module may name only modules of its own
//! layer and of lower ones.

/// A crate of the product.
#[derive(Debug)]
pub(super) struct Crate {
    /// The name by which other crates import it.
    pub name: &'static str,
    /// The path of its root file, relative to the workspace.
    pub root: &'static str,
    /// The layers with their modules, from the lowest to the highest.
    pub layers: &'static [&'static [&'static str]],
}

/// The product's crates, from the lowest to the highest.
pub(super) const CRATES: [Crate; 3] = [
    Crate {
        name: "spamdrop_common",
        root: "spamdrop-common/src/lib.rs",
        layers: &[
            &["names", "nat64", "time"],
            &["entry", "settings", "counter"],
            &["packet"],
            &["action"],
            &["gate", "recent_drop"],
            &["abi"],
        ],
    },
    Crate {
        name: "spamdrop_core",
        root: "spamdrop/core/src/lib.rs",
        layers: &[
            &[
                "time", "duration", "escape", "invalid", "nearest", "notice", "warning",
            ],
            &[
                "listeners",
                "nat64",
                "not_ip",
                "pause",
                "reload",
                "rotation",
                "silence",
                "zone_offset",
            ],
            &["target", "client_table", "wildcard"],
            &["allowlist", "next_syn", "term"],
            &["saved"],
            &["owners"],
            &["listing"],
            &["lists"],
            &["event"],
            &["recent", "release"],
            &["dnsbl"],
            &["courier"],
            &["zones", "history"],
            &["log"],
            &["server_settings", "setup"],
            &["postfix", "exim"],
            &["near_misses", "policy"],
            &["reputation"],
            &["gate"],
            &["wave"],
            &["smtp"],
            &["status"],
            &["health", "summary", "top"],
            &["engine"],
        ],
    },
    Crate {
        name: "spamdrop",
        root: "spamdrop/src/lib.rs",
        layers: &[
            &["clock", "durable", "exit", "holder", "journal"],
            &["account"],
            &["directory", "readable"],
            &["lock", "unpack"],
            &[
                "kernel",
                "store",
                "tail",
                "dnsbl",
                "responder",
                "courier",
                "fifo",
                "listing",
                "allowlist",
                "server_settings",
            ],
            &["config"],
            &["protect", "install", "owned_blocks"],
            &["render"],
            &["checks", "dry_run"],
            &["daemon"],
            &["cli"],
            &["commands"],
        ],
    },
];
