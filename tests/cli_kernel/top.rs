//! `top` in a real terminal, and `status --watch`.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout};
use std::sync::atomic::{AtomicBool, Ordering};

use regex::Regex;
use spamdrop_lab::Tmux;

use super::*;

/// Time limit for the screen to change; it is drawn every second.
const SOON: Duration = Duration::from_secs(20);
const ZOMBIE: &str = "100.64.0.9";

/// A terminal with a shell in it.
struct Shell<'a> {
    site: &'a Site,
    tmux: Tmux<'a>,
}

impl<'a> Shell<'a> {
    fn new(site: &'a Site) -> Self {
        let words = ["env", "PS1=ready> ", "sh"];
        let tmux = Tmux::open(&site.server, site.path("tmux"), ["80", "24"], &words);
        let tmux = tmux.unwrap();
        let shell = Self { site, tmux };
        shell.until("the shell", |screen| screen.starts_with("ready>"));
        shell
    }

    fn ask(&self, args: &[&str]) -> String {
        self.tmux.ask(args).unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    /// Starts `top` with these settings of the environment.
    fn start(&self, env: &str) {
        let (program, config) = (
            env!("CARGO_BIN_EXE_spamdrop"),
            self.site.path("spamdrop.toml"),
        );
        let line = format!("env {env} {program} --config {} top", config.display());
        self.keys(&["-l", &line]);
        self.keys(&["Enter"]);
        self.until("the screen", |screen| screen.contains("\ntop of "));
    }

    fn screen(&self) -> String {
        self.tmux.screen().unwrap()
    }

    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let screen = self.tmux.wait_for(what, SOON, wanted);
        screen.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// The process that the shell waits for.
    fn child(&self) -> String {
        let shell = self.tmux.pid().unwrap();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.trim().to_owned()
    }
}

/// Whether a line of the screen matches.
fn has_line(screen: &str, pattern: &str) -> bool {
    let pattern = Regex::new(&format!("(?m){pattern}")).unwrap();
    pattern.is_match(screen)
}

/// Calls `act` while a blocked sender connects again and again.
fn during_traffic(site: &Site, act: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                site.dropped(ZOMBIE, WAIT).unwrap();
            }
        });
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        is_over.store(true, Ordering::Relaxed);
        sender.join().unwrap();
        acted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn zombie_site() -> Site {
    let site = attached("capacity4 = 262144");
    let reason = "511 Listed by b.example";
    site.spamdrop(&["add", ZOMBIE, "100.64.0.10", "--reason", reason])
        .unwrap();
    site.spamdrop(&["add", "100.65.0.0/24", "2001:db8:64::9"])
        .unwrap();
    site
}

#[test]
fn top_shows_traffic_follows_the_size_and_unblocks() {
    let site = zombie_site();
    fs::create_dir(site.path("state")).unwrap();
    let tmux = Shell::new(&site);
    during_traffic(&site, || {
        tmux.start("LC_ALL=C.UTF-8");
        let busy = format!(r"^{ZOMBIE} +(0\.[1-9]|[1-9][0-9]*\.[0-9]) ");
        let screen = tmux.until("the sender's rate", |screen| has_line(screen, &busy));
        assert!(
            screen.starts_with("DEGRADED: the daemon is not running"),
            "{screen}"
        );
        assert!(has_line(&screen, "^top of 4 entries"), "{screen}");
        tmux.until("a bar for the drops", |screen| {
            has_line(screen, "^dropped .*[▁▂▃▄▅▆▇█]")
        });
        tmux.ask(&["resize-window", "-x", "200", "-y", "60"]);
        let wide = format!(r"^{ZOMBIE} .* 511 Listed by b\.example$");
        let screen = tmux.until("the wide screen", |screen| has_line(screen, &wide));
        assert!(
            has_line(&screen, r"^ADDRESS .* ZONE +REASON *$"),
            "{screen}"
        );
    });
    tmux.keys(&["?"]);
    tmux.until("the help", |screen| {
        screen.contains("q, Ctrl-C         quit")
    });
    tmux.keys(&["x", "/", "100.64.0.9", "Enter"]);
    tmux.until("one source", |screen| !screen.contains("100.65.0.0/24"));
    tmux.keys(&["Down", "r"]);
    let question = format!("spamdrop remove {ZOMBIE} ");
    tmux.until("the question", |screen| screen.contains(&question));
    tmux.keys(&["n"]);
    tmux.until("no question", |screen| !screen.contains(&question));
    assert!(site.listed().unwrap().contains(&ZOMBIE.to_owned()));
    tmux.keys(&["Enter"]);
    tmux.until("the details", |screen| {
        screen.contains(" is blocked ") && screen.contains("hits ")
    });
    tmux.keys(&["x", "r"]);
    tmux.until("the question", |screen| screen.contains(&question));
    tmux.keys(&["y"]);
    tmux.until("the answer", |screen| screen.contains("removed 1 entry"));
    assert!(!site.listed().unwrap().contains(&ZOMBIE.to_owned()));
    // The history has the removal, as after `spamdrop remove`.
    let event = format!("command +{ZOMBIE} +by root: remove {ZOMBIE}");
    tmux.keys(&["x"]);
    tmux.until("the event", |screen| has_line(screen, &event));
    tmux.keys(&["q"]);
    let screen = tmux.until("the shell", |screen| {
        screen.trim_end().ends_with("\nready>")
    });
    assert!(screen.contains("spamdrop.toml top\n"), "{screen}");
    tmux.keys(&["-l", "echo still $((40+2))"]);
    tmux.keys(&["Enter"]);
    let screen = tmux.until("the shell's answer", |screen| {
        screen.contains("\nstill 42\n")
    });
    // The terminal echoes typed text again.
    assert!(screen.contains("echo still $((40+2))"), "{screen}");
}

#[test]
fn the_figures_are_those_of_status_and_of_the_maps() {
    let site = zombie_site();
    during_traffic(&site, || {
        wait::until("a hit", SOON, || {
            let list = json(&site, &["list", "--json"]);
            let mut all = list.as_array().unwrap().iter();
            Ok(all.any(|it| it["hits"] != 0).then_some(()))
        })
        .unwrap();
        // `top` finds new senders in the filter's cache.
        wait::until("the cache", SOON, || {
            let cached = site.server.run(|| {
                let blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop"))?;
                blocklist.recently_dropped(10)
            })?;
            Ok((cached == [ZOMBIE.parse().unwrap()]).then_some(()))
        })
        .unwrap();
    });
    let (before, top) = (
        json(&site, &["stats", "--json"]),
        json(&site, &["top", "--json"]),
    );
    let status: Value = serde_json::from_str(&site.status(&["--json"]).unwrap()).unwrap();
    assert_eq!(top["status"], status);
    let sum = ["open_dropped", "sealed_dropped", "cidr_dropped"];
    let sum: u64 = sum
        .iter()
        .map(|reason| before[reason].as_u64().unwrap())
        .sum();
    assert_eq!(top["figures"]["dropped"], sum);
    assert!(sum > 0);
    let key = |entry: &Value| (entry["addr"].to_string(), entry["hits"].to_string());
    let keys = |all: &Value| -> Vec<_> {
        let mut keys: Vec<_> = all.as_array().unwrap().iter().map(key).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(
        keys(&top["sources"]),
        keys(&json(&site, &["list", "--json"]))
    );
    let text = site.spamdrop(&["top", "--once"]).unwrap();
    assert!(
        text.contains("\ntop of 4 entries") && text.contains("\nrecent events\n"),
        "{text}"
    );
}

#[test]
fn ascii_without_colours_and_a_signal_restores_the_terminal() {
    let site = zombie_site();
    let tmux = Shell::new(&site);
    let colour = Regex::new("\x1b\\[([0-9;]*;)?(3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]").unwrap();
    for (env, is_plain) in [
        ("LC_ALL=C NO_COLOR=1", true),
        ("LC_ALL=C.UTF-8 TERM=xterm", false),
    ] {
        tmux.start(env);
        tmux.keys(&["?"]);
        let screen = tmux.until("the help", |screen| screen.contains("Ctrl-C"));
        assert_eq!(screen.is_ascii(), is_plain, "{screen}");
        let coloured = tmux.ask(&["capture-pane", "-p", "-e"]);
        assert_eq!(!colour.is_match(&coloured), is_plain, "{coloured:?}");
        tmux.keys(&["x"]);
        let tty = tmux.ask(&["display-message", "-p", "#{pane_tty}"]);
        let disturb = format!("printf '\\033[18;1Hdisturbed' > {}", tty.trim());
        let redraws: [&dyn Fn(); 2] = [&|| tmux.keys(&["C-l"]), &|| {
            site.server.exec(["kill", "-STOP", &tmux.child()]).unwrap();
            tmux.until("the shell", |screen| screen.contains("ready>"));
            // The shell leaves the terminal in raw mode, where C-j ends a line.
            tmux.keys(&["fg", "C-j"]);
        }];
        for redraw in redraws {
            site.server.exec(["sh", "-c", &disturb]).unwrap();
            tmux.until("the disturbance", |screen| screen.contains("disturbed"));
            redraw();
            tmux.until("a clean screen", |screen| {
                screen.contains("recent events")
                    && !["disturbed", "ready>", "topped", "fg"]
                        .iter()
                        .any(|it| screen.contains(it))
            });
        }
        site.server.exec(["kill", "-TERM", &tmux.child()]).unwrap();
        tmux.until("the shell", |screen| {
            screen.trim_end().ends_with("\nready>")
        });
        let screen = tmux.screen();
        assert!(!screen.contains("recent events"), "{screen}");
    }
    let flags = tmux.ask(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
    assert_eq!(flags.trim(), "0 1");
}

#[test]
fn without_a_terminal_the_other_ways_are_named() {
    let site = site("");
    let said = fails(&site, &["top"], 2);
    assert_eq!(
        said,
        "spamdrop: standard output is not a terminal; `spamdrop top --once` prints the same once, and \
         `spamdrop status --watch` a line each second\n"
    );
    let text = site.spamdrop(&["top", "--once"]).unwrap();
    assert!(text.starts_with("NOT PROTECTING: "), "{text}");
    assert!(
        text.contains("\nno filter is attached, so nothing is blocked\n"),
        "{text}"
    );
    assert_eq!(
        json(&site, &["top", "--json"])["entries_read_s_ago"],
        Value::Null
    );
}

/// Starts `status --watch`. Returns it and its lines.
fn watch(site: &Site) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = site.server.command(env!("CARGO_BIN_EXE_spamdrop"));
    command.arg("--config").arg(site.path("spamdrop.toml"));
    command.args(["status", "--watch"]).stdout(Stdio::piped());
    let mut child = site.server.spawn(&mut command).unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout.lines())
}

#[test]
fn watch_prints_a_line_each_second() {
    let site = zombie_site();
    let (mut child, mut reader) = watch(&site);
    let lines: Vec<String> = reader.by_ref().take(3).map(Result::unwrap).collect();
    let pattern = Regex::new(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d  DEGRADED: .*: 4 blocked\); slots - of 40, SYNs refused 0/s, packets dropped \d+/s$",
    )
    .unwrap();
    assert!(
        lines[1..].iter().all(|line| pattern.is_match(line)),
        "{lines:#?}"
    );
    // This removes the maps too.
    site.spamdrop(&["detach"]).unwrap();
    let later: Vec<String> = reader.by_ref().take(4).map(Result::unwrap).collect();
    let line = later.last().unwrap();
    let nothing = "; slots - of 40, SYNs refused -, packets dropped -";
    assert!(line.contains("  NOT PROTECTING: "), "{later:#?}");
    assert!(line.ends_with(nothing), "{later:#?}");
    drop(reader);
    // The reader has closed its end, as `head` does.
    assert!(child.wait().unwrap().success());
}

/// The processor time of a process.
fn processor_time(child: &Child) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/schedstat", child.id())).unwrap();
    let time = stat.split_whitespace().next().unwrap();
    Duration::from_nanos(time.parse().unwrap())
}

#[test]
fn many_prefixes_and_a_long_allowlist_are_read_within_the_budget() {
    let site = attached("");
    let list = |count: u32, first: u32, length: u8| {
        let net = |index: u32| format!("{}/{length}\n", Ipv4Addr::from(first + (index << 8)));
        (0..count).map(net).collect::<String>()
    };
    let prefixes = list(100_000, 0x1000_0000, 24);
    let said = site.output(&["import", "--for", "1d", "-"], prefixes.as_bytes());
    assert!(said.unwrap().status.success());
    let nets = list(10_000, 0x3000_0000, 28);
    let said = site.output(&["allow", "add", "-"], nets.as_bytes());
    assert!(said.unwrap().status.success());
    let (mut child, mut lines) = watch(&site);
    // The first line needs a read of all entries.
    let line = lines.by_ref().nth(1).unwrap().unwrap();
    assert!(line.contains("100000 blocked"), "{line}");
    let before = processor_time(&child);
    let seconds = 10;
    lines.by_ref().nth(seconds - 1).unwrap().unwrap();
    let cost = (processor_time(&child) - before).as_secs_f64() / seconds as f64;
    drop(lines);
    child.wait().unwrap();
    assert!(cost < 0.01, "{:.2} % of a processor", cost * 100.0);
}

#[test]
fn each_kind_of_entry_is_looked_up_and_removed_alone() {
    let site = attached("");
    site.spamdrop(&["add", "100.65.0.0/16", "--for", "2h"])
        .unwrap();
    site.spamdrop(&["add", "100.65.7.0/24", "--for", "1h"])
        .unwrap();
    let certain = |prefix: &str| {
        let net = prefix.parse().unwrap();
        site.server.run(move || {
            let blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
            let found = blocklist.prefix_entry(net).unwrap();
            found.map(|found| found.is_certain)
        })
    };
    assert_eq!(certain("100.65.0.0/16"), Some(true));
    assert_eq!(certain("100.65.7.0/24"), Some(true));
    // 100.65.8.0/24 has no entry of its own; the one found is that of 100.65.0.0/16.
    assert_eq!(certain("100.65.8.0/24"), Some(false));
    assert_eq!(certain("100.66.0.0/16"), None);
    // The reason for the block of a /64 is stored under the address that was given.
    let reason = "511 Listed by c.example";
    site.spamdrop(&["add", "2001:db8:77::5", "--reason", reason])
        .unwrap();
    let top = json(&site, &["top", "--json"]);
    let mut sources = top["sources"].as_array().unwrap().iter();
    let source = sources.find(|it| it["addr"] == "2001:db8:77::/64").unwrap();
    assert_eq!(source["zone"], "c.example", "{source}");
    assert_eq!(source["reason"], reason, "{source}");
    site.spamdrop(&["add", "2001:db8:64::/64"]).unwrap();
    site.spamdrop(&["add", "2001:db8:64::9/128"]).unwrap();
    site.spamdrop(&["remove", "2001:db8:64::9/128"]).unwrap();
    let listed = site.listed().unwrap();
    assert!(
        listed.contains(&"2001:db8:64::/64".to_owned()),
        "{listed:?}"
    );
    assert!(
        !listed.contains(&"2001:db8:64::9/128".to_owned()),
        "{listed:?}"
    );
}
