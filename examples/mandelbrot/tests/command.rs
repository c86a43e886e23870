//! The example as it is run: a process of its own, with a cluster in it and a certificate authority made for it.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute, and this has helpers"
)]

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Output};

fn mandelbrot(file: &Path, args: &[&str]) -> Output {
    let state = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_mandelbrot"))
        .arg(file)
        .args(args)
        .env("MADRPC_TLS_DIR", state.path())
        .output()
        .unwrap()
}

/// All of the set: more tiles than are under way at a time, which do not divide it evenly.
#[test]
fn the_picture_is_the_set() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("set.png");
    let all = "--width 600 --height 400 --x -0.65 --y 0 --span 3.3 --steps 200";
    let output = mandelbrot(&file, &all.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty());

    let decoder = png::Decoder::new(BufReader::new(File::open(&file).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (600, 400));
    // Where a point of the plane is in the picture.
    let is_black = |real: f64, imaginary: f64| {
        let column = (300.0 + (real + 0.65) * 600.0 / 3.3) as usize;
        let row = (200.0 - imaginary * 600.0 / 3.3) as usize;
        let at = 3 * (row * 600 + column);
        pixels[at..at + 3] == [0, 0, 0]
    };
    for (real, imaginary) in [(0.0, 0.0), (-1.0, 0.0), (-0.2, 0.5), (0.2, -0.4)] {
        assert!(is_black(real, imaginary), "{real} + {imaginary}i");
    }
    for (real, imaginary) in [
        (0.5, 0.0),
        (-2.2, 0.0),
        (0.5, 0.8),
        (-1.0, -0.6),
        (-2.0, 1.0),
    ] {
        assert!(!is_black(real, imaginary), "{real} + {imaginary}i");
    }
    let black = pixels.chunks(3).filter(|pixel| *pixel == [0, 0, 0]).count();
    // The area of the set is 1.507.
    let area = black as f64 * (3.3_f64 / 600.0).powi(2);
    assert!((1.45..1.56).contains(&area), "{area}");
}

#[test]
fn what_cannot_be_done_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("set.png");
    // Port 9 is discard; nothing of ours listens there.
    let nobody = mandelbrot(&file, &["--orchestrator", "127.0.0.1:9"]);
    let nowhere = mandelbrot(&folder.path().join("no/set.png"), &[]);
    for (output, says) in [(nobody, "Unavailable"), (nowhere, "set.png: ")] {
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(
            stderr.starts_with("mandelbrot: ") && stderr.contains(says),
            "{stderr}"
        );
    }
    assert_eq!(mandelbrot(&file, &["--width", "0"]).status.code(), Some(2));
}
