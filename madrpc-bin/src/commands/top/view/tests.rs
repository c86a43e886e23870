//! The screen as a terminal of some size shows it.

use super::super::model::tests::{row, snapshot};
use super::*;
use crossterm::event::{KeyCode, KeyEvent};
use madrpc_core::call::{CallError, ErrorKind, Load};
use madrpc_core::stats::{Core, Snapshot, Traffic, Upstream};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::time::Duration;

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (160, 50);

/// What a terminal of this size shows, a string for each line, without trailing blanks.
fn draw_at(
    screen: &mut Screen,
    model: &Model,
    (width, height): (u16, u16),
    now: Instant,
) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(screen, frame, model, now))
        .unwrap();
    let buffer = terminal.backend().buffer().clone();
    let line = |y| -> String {
        (0..width)
            .map(|x| buffer[(x, y)].symbol().to_owned())
            .collect()
    };
    (0..height).map(|y| line(y).trim_end().to_owned()).collect()
}

fn shown(screen: &mut Screen, model: &Model, size: (u16, u16)) -> Vec<String> {
    draw_at(screen, model, size, Instant::now())
}

fn press(screen: &mut Screen, model: &Model, keys: &[KeyCode]) {
    for &key in keys {
        screen.on_key(&KeyEvent::from(key), model);
    }
}

/// An orchestrator with two nodes, of which one is down, watched for a second.
fn model(functions: usize) -> Model {
    let mut model = Model::new();
    for round in 1..=2 {
        let rows = (0..functions).map(|number| {
            let name = format!("f{number:02}");
            row("a:1", &name, &[(1500, 100 * round)], round)
        });
        let core = |shard| Core {
            shard,
            cpu_us: round * 500_000,
            calls_us: round * 250_000,
            spinning_us: round * 125_000,
            sessions: 7,
            under_way: 3,
            ..Core::default()
        };
        let upstreams = vec![
            Upstream {
                node: "a:1".into(),
                connected_shards: 2,
                states: vec![("up".into(), 2)],
                since_ms: 61_000,
                script: 0xabc,
                under_way: 5,
                busiest: Some(Load {
                    running: 2,
                    queued: 1,
                    expected_us: 11_500,
                    free_lanes: 0,
                }),
                ..Upstream::default()
            },
            Upstream {
                node: "b:1".into(),
                states: vec![("down".into(), 2)],
                reason: "refused".into(),
                ..Upstream::default()
            },
        ];
        model.succeeded(Snapshot {
            cores: vec![core(0), core(1)],
            upstreams,
            memory_used_bytes: 256 << 20,
            memory_max_bytes: 1 << 30,
            received: Traffic {
                datagrams: 800 * round,
                batches: 100 * round,
            },
            refused: vec![("Overloaded".into(), 4)],
            ..snapshot(1000 * round, rows.collect())
        });
    }
    model
}

#[test]
fn a_terminal_of_80_by_24_shows_totals_and_a_pane() {
    let mut screen = Screen::new("here:8080", 250);
    let lines = shown(&mut screen, &model(2), SMALL);
    let expected = [
        "orchestrator here:8080   up 00:00:02   2 shards   3 sessions",
        "! nodes: 1 of 2 up   b:1 down",
        "      200 calls/s      2 errors/s  p50 1.53 ms  p99 1.53 ms                    █",
        "[1 functions] 2 nodes  3 shards  4 errors  5 memory, network",
        "NODE      FUNCTION                       CALLS/S  ERRORS/S      CPU      P99",
    ];
    assert_eq!(lines[..4], expected[..4]);
    for title in ["NODE", "FUNCTION", "CALLS/S", "ERRORS/S", "P99"] {
        assert!(lines[4].contains(title), "{lines:#?}");
    }
    assert!(
        lines[5].starts_with("a:1") && lines[5].contains("f00"),
        "{lines:#?}"
    );
    assert!(
        lines[7].contains("all") && lines[7].contains("200"),
        "{lines:#?}"
    );
    assert!(
        lines[23].starts_with("q leaves   ? helps   s sorts (by name)"),
        "{lines:#?}"
    );
}

#[test]
fn each_pane_shows_its_own() {
    let (mut screen, model) = (Screen::new("here:8080", 250), model(2));
    let mut pane = |key| {
        press(&mut screen, &model, &[KeyCode::Char(key)]);
        let lines = shown(&mut screen, &model, SMALL);
        lines[4..].to_vec()
    };
    let nodes = pane('2');
    for part in ["a:1   up", "00:01:01", "3 calls, 12 ms", "200"] {
        assert!(nodes[1].contains(part), "{part}: {nodes:#?}");
    }
    assert!(nodes[2].starts_with("b:1   ! down"), "{nodes:#?}");
    let shards = pane('3');
    assert!(
        shards[0].contains("# CALLS  = NETWORK  ~ SPINS  . IDLE"),
        "{shards:#?}"
    );
    assert!(shards[1].contains("[###==~......]"), "{shards:#?}");
    assert!(
        shards[2].contains("25 %") && shards[2].contains("50 %"),
        "{shards:#?}"
    );
    let errors = pane('4');
    assert!(
        errors[1].starts_with("! 0 s ago  JavaScript      2  f00"),
        "{errors:#?}"
    );
    let memory = pane('5').join("\n");
    for part in [
        "25 %   holds 256 of 1024 MiB",
        "800 datagrams/s   8.0 by each system call",
        "! 4 Overloaded",
        "stalls      none",
    ] {
        assert!(memory.contains(part), "{part}: {memory}");
    }
}

#[test]
fn a_terminal_of_160_by_50_shows_all_panes() {
    let mut screen = Screen::new("here:8080", 250);
    let text = shown(&mut screen, &model(2), LARGE).join("\n");
    for part in [
        "[1 functions]",
        "2 nodes",
        "3 shards",
        "4 errors",
        "5 memory, network",
        "f01",
        "! down",
        "= NETWORK",
        "! 0 s ago",
        "holds 256 of 1024 MiB",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn a_terminal_that_is_too_small_says_so_in_a_line_and_no_size_panics() {
    let (mut screen, model) = (Screen::new("here:8080", 250), model(3));
    let lines = shown(&mut screen, &model, (39, 24));
    assert_eq!(lines[0], "needs 40x12, not 39x24");
    assert!(lines[1..].iter().all(String::is_empty));
    for help in [false, true] {
        screen.has_help = help;
        for width in (1..200).step_by(7) {
            for height in (1..60).step_by(3) {
                for pane in Pane::ALL {
                    screen.pane = pane;
                    shown(&mut screen, &model, (width, height));
                }
            }
        }
    }
}

#[test]
fn many_rows_are_scrolled_and_never_out_of_sight() {
    let mut screen = Screen::new("here:8080", 250);
    let model = model(30);
    let mut shown = |keys: &[KeyCode]| {
        press(&mut screen, &model, keys);
        let lines = shown(&mut screen, &model, (100, 18));
        let names = lines.iter().filter_map(|line| line.strip_prefix("a:1"));
        let names: Vec<_> = names
            .map(|line| line.trim_start()[..3].to_owned())
            .collect();
        assert_eq!(names.len(), 10, "{lines:#?}");
        (names[0].clone(), lines[16].clone())
    };
    assert_eq!(shown(&[]).1, "1-10 of 30");
    assert_eq!(shown(&[KeyCode::Down, KeyCode::Down, KeyCode::Up]).0, "f01");
    assert_eq!(shown(&[KeyCode::PageDown]).0, "f11");
    assert_eq!(shown(&[KeyCode::End]).0, "f20");
    assert_eq!(shown(&[KeyCode::Down, KeyCode::PageDown]).0, "f20");
    assert_eq!(shown(&[KeyCode::PageUp]).0, "f10");
    assert_eq!(shown(&[KeyCode::Home]).0, "f00");
}

#[test]
fn a_filter_a_pause_and_help_are_seen() {
    let (mut screen, mut model) = (Screen::new("here:8080", 250), model(3));
    press(&mut screen, &model, &['/', 'F', '1'].map(KeyCode::Char));
    let lines = shown(&mut screen, &model, SMALL);
    assert!(lines[23].starts_with("/F1_"), "{lines:#?}");
    assert!(lines[4].contains("no function or node"), "{lines:#?}");
    press(
        &mut screen,
        &model,
        &[
            KeyCode::Backspace,
            KeyCode::Char('0'),
            KeyCode::Char('2'),
            KeyCode::Enter,
        ],
    );
    let lines = shown(&mut screen, &model, SMALL);
    let text = lines.join("\n");
    assert!(text.contains("f02") && !text.contains("f01"), "{text}");
    assert!(lines[23].starts_with("only /F02, Esc shows all"), "{text}");
    press(&mut screen, &model, &[KeyCode::Esc, KeyCode::Char(' ')]);
    model.succeeded(snapshot(9000, vec![]));
    let lines = shown(&mut screen, &model, SMALL);
    assert!(
        lines[0].starts_with("PAUSED   orchestrator here:8080   up 00:00:02"),
        "{lines:#?}"
    );
    assert!(lines.join("\n").contains("f01"));
    press(
        &mut screen,
        &model,
        &[KeyCode::Char(' '), KeyCode::Char('?')],
    );
    let lines = shown(&mut screen, &model, SMALL);
    assert!(lines[0].contains("up 00:00:09"), "{lines:#?}");
    assert!(
        lines.join("\n").contains("hold what is shown"),
        "{lines:#?}"
    );
}

#[test]
fn an_outage_is_told_in_words_and_the_last_table_stays() {
    let mut screen = Screen::new("here:8080", 250);
    let mut model = Model::new();
    let begun = Instant::now();
    let lines = draw_at(&mut screen, &model, SMALL, begun);
    assert_eq!(lines[0], "connecting to here:8080");
    model.succeeded(snapshot(1000, vec![row("a:1", "add", &[(10, 5)], 0)]));
    model.failed(&CallError::not_run(ErrorKind::Unavailable, "gone"), begun);
    let later = begun + Duration::from_secs(3);
    // Also while it is paused.
    for _ in 0..2 {
        let lines = draw_at(&mut screen, &model, SMALL, later);
        assert!(lines.join("\n").contains("add"), "{lines:?}");
        assert_eq!(
            lines[23],
            "! no answer for 3 s, trying again: Unavailable: gone"
        );
        press(&mut screen, &model, &[KeyCode::Char(' ')]);
    }
}
