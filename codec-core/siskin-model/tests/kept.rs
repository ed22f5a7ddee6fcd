//! What streams share outlives them where a program asks for that: a process of its own, since it is the whole process that asks.

use std::thread;
use std::time::{Duration, Instant};

use siskin_model::{SharedCache, keep_unused_for};

#[test]
fn values_outlive_their_users_for_a_while() {
    let cache = SharedCache::new();
    let make = |text: &str| Ok::<_, ()>(text.to_owned());
    drop(cache.share(1, || make("a")).expect("made"));
    assert_eq!(*cache.share(1, || make("b")).expect("made anew"), "b", "nothing is kept unless asked for");
    keep_unused_for(Duration::from_millis(400));
    let first = cache.share(2, || make("c")).expect("made");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(*cache.share(2, || make("d")).expect("in use"), "c");
    drop(first);
    assert_eq!(*cache.share(2, || make("e")).expect("kept"), "c");
    let start = Instant::now();
    while *cache.share(2, || make("f")).expect("a value") == "c" {
        assert!(start.elapsed() < Duration::from_secs(60), "it stays forever");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(start.elapsed() >= Duration::from_millis(350), "{:?}", start.elapsed());
}
