//! What `--help` says below the flags.
//!
//! The parser wraps each line to the terminal's width. So a paragraph is one line here, and a line of a list, which begins
//! with a blank, is short enough for any terminal: wrapped, it would lose its column. A test holds this.

/// Of `madrpc` itself.
pub(crate) const ROOT: &str = "\
Exit codes:
  0   done; a server: ended by a signal, after draining
  2   wrong usage, or settings that cannot be read
  78  a server: certificates, script, address or machine do not fit;
      to start it again does not help
  1   anything else, also what may pass: a server's certificate that is not
      valid now (its time is over, or the clock is wrong), a name that is not
      known; stdout that cannot be written, as on a full disk
`madrpc call` and `madrpc bench` have more of them, see their --help. Where the reader of stdout has gone, as with `| head`, \
that is no failure. A stdout that is closed is the same as /dev/null.

Without --tls-* flags, all processes of a user on a machine trust each other and nobody else, by an authority that the first \
of them creates: in $MADRPC_TLS_DIR, else $XDG_STATE_HOME/madrpc/tls, else ~/.local/state/madrpc/tls. A directory that \
`madrpc tls issue` has written works there too.";

/// Of `madrpc call`.
pub(crate) const MAP: &str = "\
Stdin has a JSON value on each line, the argument of a call; blank lines are skipped. Without --keep-going the first line that \
fails ends it: no further calls are begun, those under way end.

With --checkpoint a run that was ended, by a signal, kill -9 or a failed line, goes on where it was, when it is started again in the \
same way: results are neither missing nor there twice. Calls that had been under way are made again.

Exit codes:
  0  each line has its result
  2  wrong usage, or files that do not fit the checkpoint
  3  a line failed: the function threw
  4  a line failed: there is no such function
  5  a line failed: the deadline passed
  6  a line failed: nobody to run the call, for as long as --retry-for says
     where it may be tried again
  1  anything else; a signal

Example:
  seq 1000000 | madrpc map 127.0.0.1:8080 square -o squares.ndjson \\
    --keep-going --errors failed.ndjson --checkpoint squares.state";

pub(crate) const CALL: &str = "\
Exit codes:
  0  the function returned; its result is on stdout as JSON
  2  wrong usage, or JSON that cannot be read
  3  the function threw
  4  there is no such function
  5  the deadline passed
  6  nobody to run the call: unreachable, refused or overloaded
  1  anything else, also a result that could not be written

A function that streams (a generator) has its items printed as they come, a line each; --timeout is for all of them, and what it \
returns is not printed.

Example:
  madrpc call 127.0.0.1:8080 monte_carlo_sample \\
    '{\"samples\": 1000, \"seed\": 1}' --timeout 5s";

/// Of `madrpc nodes`.
pub(crate) const NODES: &str = "\
States:
  up          it gets calls
  draining    it takes no new calls: madrpc drain, or it is stopping
  ejected     it gets none for a while, as it fails calls by faults of its
              own or is far slower than the others (WHY says which); then one
              call sees whether it works
  double      it is one of the others by another address, and gets none
  silent      nothing has come from it for too long
  connecting  a session to it is being opened
  down        it cannot be reached

For an operator's certificate only. A script is told by the first eight bytes of the SHA-256 of its text and that of its modules.";

/// Of `madrpc drain`.
pub(crate) const DRAIN: &str = "\
The server goes on running, and says on all its sessions that it takes no new calls: orchestrators and clients put theirs on \
others. What was sent to it meanwhile is refused before it has begun, and goes to others too. `madrpc undrain` takes it back, \
and so does a restart.

For an operator's certificate only.

Exit codes:
  0  drained: no call is under way any more
  5  calls were under way after --timeout; it goes on draining
  6  it cannot be reached
  2  wrong usage
  1  anything else, also a certificate that is no operator's";

/// Of `madrpc reload`.
pub(crate) const RELOAD: &str = "\
As SIGHUP does: sessions that are open go on, calls under way end as they began, later ones run the new script. What cannot be \
used changes nothing; the answer says what is wrong with it, and the exit code is 1.

For an operator's certificate only.";

/// Of `madrpc init`.
pub(crate) const INIT: &str = "\
It writes script.js, jsconfig.json and madrpc.d.ts, the types of all that a script has. Where one of them is there \
already, it writes nothing, and ends with 1. TypeScript needs nothing more: call the script script.ts.";

/// Of `madrpc check`.
pub(crate) const CHECK: &str = "\
Exit codes:
  0  it loads; what it registers is on stdout, and its kernels
  1  it does not; where and why is on stderr, as file:line:column and the
     JavaScript stack
  2  wrong usage";

/// Of `madrpc node`.
pub(crate) const NODE: &str = "\
Settings: every flag is also a key of the settings file (--slice is slice, --no-slice is no_slice) and a variable \
(MADRPC_SLICE). Flags go before variables, and those before the file; `madrpc config node` shows the result, `madrpc config \
--template node` a file with every key.

Signals:
  SIGTERM, SIGINT  take no new calls, let those under way end, exit 0; before
                   the node is ready, exit 0 at once
  a second one     end at once; exit code 143 or 130
  SIGHUP           read certificates and script anew, as soon as the node is
                   ready, as madrpc reload has it do from elsewhere. Sessions
                   that are open go on, calls under way end as they began,
                   later ones run the new script; what cannot be used changes
                   nothing and is reported

The log goes to stderr. Where nobody reads it, 1 MiB of it is kept; lines beyond are dropped, and their number is said.";

/// Of `madrpc orchestrator`.
pub(crate) const ORCHESTRATOR: &str = "\
Settings: every flag is also a key of the settings file (--drain-timeout is drain_timeout) and a variable \
(MADRPC_DRAIN_TIMEOUT). Flags go before variables, and those before the file; `madrpc config orchestrator` shows the result, \
`madrpc config --template orchestrator` a file with every key.

Sources of nodes (--discover):
  file:PATH       HOST:PORT on each line, and comments from a # on; looked at
                  four times a second
  dns:NAME        SRV records, as _madrpc._udp.example.org: their targets'
                  addresses, and their ports; of several priorities the lowest
                  one that has addresses, whatever the weights are
  dns:HOST:PORT   A and AAAA records: each address is a node
  dns:...@SERVER  the same, asked of this name server: IP or IP:PORT; default
                  those of /etc/resolv.conf
Records are asked for again when they are over: after half a second at the earliest, after 30 s at the latest. One IPv4 and \
one IPv6 address are one node; as many of each are nodes by two ways, of which that counts which this machine reaches. Names \
in --node and in files are the system's to resolve, its hosts file included, every 5 s. A source that fails or names \
nobody takes nobody away, and is told of in one line. A node that several sources name counts once.

Signals:
  SIGTERM, SIGINT  take no new calls, let those under way end, exit 0; before
                   the orchestrator is ready, exit 0 at once
  a second one     end at once; exit code 143 or 130
  SIGHUP           read the certificates anew, as soon as it is ready;
                   sessions that are open go on

The log goes to stderr. Where nobody reads it, 1 MiB of it is kept; lines beyond are dropped, and their number is said.";

/// Of `madrpc dev`.
pub(crate) const DEV: &str = "\
Signals:
  SIGTERM, SIGINT  take no new calls, let those under way end, exit 0; before
                   the cluster is ready, exit 0 at once
  a second one     end at once; exit code 143 or 130
  SIGHUP           load the script anew

Where stdin is a terminal, functions can be called at a prompt: NAME JSON; .help lists what else. Lines are kept in \
madrpc/dev-history below $XDG_STATE_HOME or ~/.local/state.";

/// Of `madrpc bench`.
pub(crate) const BENCH: &str = "\
Latency is told twice: `corrected` is from when a call should have been sent, `service` from when it was sent. \
With --rate a call is due by the clock, whatever comes back. Without it, a reply makes room for the next call, and \
a stall also stands for the calls that it kept from being made (HdrHistogram's correction, by the mean time between \
two calls of one place in flight): an estimate, so use --rate where the latency at some rate matters. A call that \
passes its deadline counts with the time until then; other errors do not count in the latency.

Ctrl-C ends the measuring early and still reports; a second one ends at once.

Exit codes:
  0  measured, and no bound of --fail-above passed
  7  a bound of --fail-above passed
  2  wrong usage, or a file or JSON that cannot be read
  6  the server cannot be reached, or no longer
  1  anything else
Where no call returned at all, it is the code that `madrpc call` has for the most frequent error.

Examples:
  madrpc bench 127.0.0.1:8080 add '[1, 2]' --concurrency 256
  madrpc bench 127.0.0.1:8080 add '[1, 2]' --rate 20000 --json > before.json
  madrpc bench 127.0.0.1:8080 add '[1, 2]' --rate 20000 \\
    --baseline before.json --fail-above p99=5ms";

/// Of `madrpc tls init`.
pub(crate) const TLS_INIT: &str = "\
The directory then holds ca.key, which makes certificates for anybody, and ca.pem. Keep it on a machine that is not of \
the fleet, or offline. Nothing of the fleet needs it but to get new certificates.

Example:
  madrpc tls init ~/fleet-ca --name 'fleet of example.org'";

/// Of `madrpc tls issue`.
pub(crate) const TLS_ISSUE: &str = "\
Roles:
  node          runs functions; lets orchestrators and clients in
  orchestrator  passes calls on to nodes
  client        calls functions
  operator      calls functions, and looks after the fleet: madrpc top,
                nodes, drain, undrain, reload

Written are DIR/ROLE/ca.pem, cert.pem and key.pem, as the systemd units expect them in /etc/madrpc/tls. For a person or \
a program, $MADRPC_TLS_DIR names that directory.

Example:
  madrpc tls issue node web-1 --ca ~/fleet-ca --out web-1
  scp -r web-1/* root@web-1:/etc/madrpc/tls/";

/// Of `madrpc tls show`.
pub(crate) const TLS_SHOW: &str = "\
Of a directory with cert.pem, its key and its authority are tried too.

Exit codes:
  0   shown; what was tried is all right
  1   a file cannot be read, or a certificate cannot be used: it is over, or
      key or authority are not its own
  2   wrong usage
  78  --check: the certificate is of another role";

#[cfg(test)]
mod tests {
    use super::super::Args;
    use clap::{Command, CommandFactory};

    /// Columns of the narrowest terminal that lists are to look well on, less one that some leave empty.
    const COLUMNS: usize = 79;

    fn each(command: &Command, look: &mut impl FnMut(&Command)) {
        look(command);
        for sub in command.get_subcommands() {
            each(sub, look);
        }
    }

    #[test]
    fn paragraphs_are_one_line_and_lines_of_lists_are_short() {
        let mut root = Args::command();
        root.build();
        let mut seen = 0;
        each(&root, &mut |command| {
            let Some(text) = command.get_after_help() else {
                return;
            };
            let text = text.to_string();
            let mut follows_paragraph = false;
            for line in text.lines() {
                seen += 1;
                let in_list = line.starts_with(' ');
                let is_head = line.ends_with(':') && line.len() < COLUMNS;
                if in_list {
                    assert!(line.chars().count() <= COLUMNS, "{line}");
                }
                let is_paragraph = !in_list && !line.is_empty();
                assert!(
                    !(is_paragraph && follows_paragraph),
                    "wrapped by hand: {line}"
                );
                assert!(!line.ends_with(' ') && !line.contains('\t'), "{line:?}");
                follows_paragraph = is_paragraph && !is_head;
            }
        });
        assert!(seen > 60, "{seen} lines");
    }

    #[test]
    fn help_fits_the_terminal() {
        for columns in [80, 120] {
            let mut root = Args::command().term_width(columns);
            root.build();
            each(&root, &mut |command| {
                let text = command.clone().render_long_help().to_string();
                for line in text.lines() {
                    assert!(line.chars().count() <= columns, "{line}");
                }
            });
        }
    }
}
