//! What was once too much, and what leads far, is run again.

use std::fs;
use std::path::Path;

/// Runs the inputs in a target's folder of `corpus` or `finds`; gives how many there were.
fn replay(folder: &str, name: &str, run: fn(&[u8])) -> usize {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(name);
    let Ok(entries) = fs::read_dir(&dir) else {
        return 0;
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
    }
    paths.len()
}

macro_rules! replayed {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            let run = madrpc_fuzz::$target::run;
            replay("finds", stringify!($target), run);
            assert!(replay("corpus", stringify!($target), run) > 0, "it has no corpus");
        }
    )*

    #[test]
    fn every_target_is_replayed() {
        let names = [$(stringify!($target)),*];
        let targets = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("targets")).unwrap();
        assert_eq!(targets.count(), names.len());
        for target in names {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("targets").join(format!("{target}.rs")).exists());
        }
    }};
}

replayed!(certificates datagrams echo frames headers host scripts settings shard values);
