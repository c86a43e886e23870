//! The Mandelbrot set as a PNG, computed on a madrpc cluster.
//!
//! ```text
//! cargo run --release -p mandelbrot -- set.png                                     a cluster of its own, in this process
//! cargo run --release -p mandelbrot -- set.png --orchestrator 127.0.0.1:8080       one that runs already
//! ```
//!
//! The second form needs nodes that have loaded `examples/mandelbrot/scripts/mandelbrot.js`. Tiles come by a stream, in the order
//! in which they are ready.

use clap::Parser;
use indicatif::ProgressBar;
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::local_cluster::Cluster;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const SCRIPT: &str = include_str!("../scripts/mandelbrot.js");

/// The Mandelbrot set as a PNG, computed on a madrpc cluster
#[derive(Debug, Parser)]
struct Args {
    /// The file to write
    file: PathBuf,

    /// An orchestrator or node to call, HOST:PORT [default: a cluster in this process]
    #[arg(long, value_name = "ADDR")]
    orchestrator: Option<String>,

    #[command(flatten)]
    picture: Picture,
}

/// What the function `mandelbrot` is given.
#[derive(Debug, clap::Args, Serialize)]
struct Picture {
    /// Pixels from left to right
    #[arg(long, value_name = "N", default_value_t = 480, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    width: u32,

    /// Pixels from top to bottom
    #[arg(long, value_name = "N", default_value_t = 320, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    height: u32,

    /// The middle: its real part
    #[arg(long, allow_negative_numbers = true, default_value_t = -0.748)]
    x: f64,

    /// The middle: its imaginary part
    #[arg(long, allow_negative_numbers = true, default_value_t = 0.1)]
    y: f64,

    /// The width of what is seen; of all of the set 3
    #[arg(long, default_value_t = 0.0035)]
    span: f64,

    /// Steps after which a point is taken to be in the set
    #[arg(long, value_name = "N", default_value_t = 1000)]
    steps: u32,
}

/// What it yields.
#[derive(Debug, Deserialize)]
struct Tile {
    left: usize,
    top: usize,
    width: usize,
    pixels: Vec<u8>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is closed, the exit code has to do.
            let _ = writeln!(io::stderr(), "mandelbrot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    // Kept until the end of the run: dropping a cluster ends it.
    let mut cluster = None;
    let address = match &args.orchestrator {
        Some(address) => address.clone(),
        None => {
            let script = Script::new("mandelbrot.js", SCRIPT);
            let started = cluster.insert(Cluster::start(&script, 2, &NodeConfig::default(), None)?);
            started.address().to_string()
        }
    };
    let named = |error: io::Error| format!("{}: {error}", args.file.display());
    let file = File::create(&args.file).map_err(named)?;
    let pixels = compute(&Client::connect(&address)?, &args.picture)?;
    Ok(write(file, &args.picture, &pixels).map_err(|error| named(error.into()))?)
}

/// Rows of red, green and blue.
fn compute(client: &Client, picture: &Picture) -> Result<Vec<u8>, Box<dyn Error>> {
    let stride = 3 * picture.width as usize;
    let mut pixels = vec![0; stride * picture.height as usize];
    let bar = ProgressBar::new(u64::from(picture.width) * u64::from(picture.height));
    let mut tiles = client.stream::<_, Tile>("mandelbrot", picture);
    while let Some(tile) = tiles.next_blocking() {
        let tile = tile?;
        let bytes = 3 * tile.width;
        for (row, of_tile) in tile.pixels.chunks(bytes).enumerate() {
            let at = (tile.top + row) * stride + 3 * tile.left;
            let place = pixels.get_mut(at..at + bytes);
            place
                .ok_or("a tile is not in the picture")?
                .copy_from_slice(of_tile);
        }
        bar.inc(tile.pixels.len() as u64 / 3);
    }
    bar.finish_and_clear();
    Ok(pixels)
}

fn write(file: File, picture: &Picture, pixels: &[u8]) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(BufWriter::new(file), picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()
}
