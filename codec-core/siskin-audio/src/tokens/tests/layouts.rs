use proptest::prelude::*;

use super::*;

#[test]
fn every_layout_comes_back_in_any_pieces() {
    for (name, codebooks) in LAYOUTS {
        let format = format(name, codebooks);
        for count in [0, 1, 2, 9] {
            let frames = frames(codebooks, count);
            for marked in [true, false] {
                let tokens = pack(&format, &frames, marked);
                let whole: Vec<_> = frames.iter().cloned().map(Some).collect();
                for cuts in [&[usize::MAX][..], &[1], &[3, 5, 2], &[7]] {
                    let found = unpack(&format, &tokens, cuts, OnBadToken::Refuse).expect(name);
                    assert_eq!(found, (whole.clone(), vec![]), "{name}, {count} frames, marked {marked}");
                }
            }
        }
    }
}

#[test]
fn layouts_have_names_that_they_are_read_by() {
    for (name, codebooks) in LAYOUTS {
        let layout = Layout::parse(name, codebooks, SIZE).expect(name);
        let again = Layout::parse(&layout.to_string(), codebooks, SIZE).expect(name);
        assert_eq!(again, layout, "{name} as {layout}");
    }
    for bad in [
        "",
        "zigzag",
        "delayed:0,1",
        "delayed:0,1,x,3",
        "columns:c,c",
        "columns:q*9",
        "coarse-first:1,1",
        "snac",
        "flat:a",
        "parallel:2",
        "delayed:0,0,0,99999",
    ] {
        let error = Layout::parse(bad, 4, SIZE).expect_err(bad);
        assert!(matches!(error, crate::Error::Parameter { .. }), "{bad}: {error}");
    }
}

#[test]
fn a_delayed_matrix_is_the_one_of_the_paper() {
    let format = format("delayed", 3);
    let tokens = pack(&format, &[vec![1, 2, 3], vec![4, 5, 6]], false);
    let p = format.special_ids().pad();
    assert_eq!(tokens, [1, p, p, 4, 2, p, p, 5, 3, p, p, 6]);
}

#[test]
fn flat_ids_are_offset_by_codebook() {
    let format = format("flat:100", 3);
    assert_eq!(pack(&format, &[vec![1, 2, 3]], true), [101, 118, 135, format.special_ids().end()]);
    assert_eq!(format.special_ids().pad(), 148, "special ids lie above the codes");
}

#[test]
fn snac_slots_are_those_of_a_group() {
    let format = format("snac:10", 7);
    // Levels: one code, two codes, four codes.
    let tokens = pack(&format, &[vec![1, 2, 3, 4, 5, 6, 7]], false);
    let codes: Vec<i64> = (0..).zip(&tokens).map(|(slot, id)| id - 10 - slot * 16).collect();
    assert_eq!(codes, [1, 2, 4, 5, 3, 6, 7], "c0, c1, c2, c2, c1, c2, c2");
}

#[test]
fn coarse_codes_come_first() {
    let format = format("coarse-first:1,2", 3);
    let s = format.special_ids();
    let tokens = pack(&format, &[vec![1, 2, 3], vec![4, 5, 6]], true);
    assert_eq!(tokens, [1, 4, s.separator(), 2, 3, 5, 6, s.end()]);
}

#[test]
fn a_frame_comes_as_soon_as_its_last_code() {
    for (name, codebooks) in LAYOUTS {
        let format = format(name, codebooks);
        let tokens = pack(&format, &frames(codebooks, 6), false);
        let mut unpacker = Unpacker::new(format.clone(), OnBadToken::Refuse);
        unpacker.set_frames(6).expect("few");
        let mut when = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let mut keep = |unit: Unit<'_>| {
                when.extend(matches!(unit, Unit::Frame(_)).then_some(at));
                Ok(())
            };
            unpacker.push_tokens(&[*token], &mut keep).expect("tokens of ours");
        }
        let row = format.layout().tokens_per_row();
        let expected: Vec<usize> = match format.layout() {
            Layout::CoarseFirst { groups } => {
                let last = groups[groups.len() - 1];
                (0..6).map(|t| 6 * (codebooks - last) + (t + 1) * last - 1).collect()
            }
            layout => (0..6).map(|t| (t + layout.max_delay() as usize + 1) * row - 1).collect(),
        };
        assert_eq!(when, expected, "{name}");
    }
}

#[test]
fn text_stands_beside_its_frame() {
    let format = format("columns:t,c,c@1,c@1,c@1", 4);
    let (mut packer, mut tokens) = (Packer::new(format.clone()), Vec::new());
    for (t, frame) in (500..).zip(frames(4, 3)) {
        packer.push_frame_beside(&frame, &[t], &mut tokens).expect("codes of a frame");
    }
    packer.finish_stream(false, &mut tokens);
    let mut texts = Vec::new();
    let mut unpacker = Unpacker::new(format, OnBadToken::Refuse);
    let mut keep = |unit: Unit<'_>| {
        if let Unit::Text { frame, token } = unit {
            texts.push((frame, token));
        }
        Ok(())
    };
    unpacker.push_tokens(&tokens, &mut keep).expect("tokens of ours");
    assert_eq!(texts, [(0, 500), (1, 501), (2, 502)]);
}

#[test]
fn rows_that_are_masked_are_text_and_take_no_time() {
    let format = format("csm", 2);
    let (t, f) = (true, false);
    let tokens = [0, 0, 77, 0, 0, 78, 3, 4, 0, 5, 6, 0, 0, 0, 0];
    let mask = [f, f, t, f, f, t, t, t, f, t, t, f, t, t, f];
    let (mut frames, mut texts) = (Vec::new(), Vec::new());
    let mut keep = |unit: Unit<'_>| {
        match unit {
            Unit::Frame(codes) => frames.push(codes.to_vec()),
            Unit::Text { frame, token } => texts.push((frame, token)),
            other => unreachable!("{other:?}"),
        }
        Ok(())
    };
    let mut unpacker = Unpacker::new(format, OnBadToken::Refuse);
    for at in 0..tokens.len() {
        unpacker.push_masked(&tokens[at..=at], &mask[at..=at], &mut keep).expect("tokens of a model");
    }
    assert!(unpacker.has_ended(), "a frame of zeros is the end");
    assert_eq!((frames, texts), (vec![vec![3, 4], vec![5, 6]], vec![(0, 77), (0, 78)]));
    assert!(unpacker.push_masked(&[1, 2], &[true], &mut |_| Ok(())).is_err());
}

#[test]
fn special_ids_are_those_of_the_manifest() {
    let named =
        |list: &[(&str, i64)]| list.iter().map(|(n, i)| ((*n).to_owned(), *i)).collect::<BTreeMap<_, _>>();
    let make = |layout: &str, ids: &[(&str, i64)]| {
        let layout = Layout::parse(layout, 4, SIZE).expect("a layout");
        Format::new(4, SIZE, layout, &named(ids))
    };
    let format = make("delayed", &[("pad", -1), ("mask", 20)]).expect("free ids");
    assert_eq!((format.special_ids().pad(), format.special_ids().start()), (-1, 16));
    assert_eq!(format.special_ids().name(20), Some("mask"));
    let flat = make("flat", &[("pad", -1), ("mask", 20)]).expect("free ids");
    assert_eq!(flat.special_ids().name(64 + 4), Some("mask"), "it moves up with the codes");
    assert!(make("parallel", &[("pad", 3)]).is_err(), "a code's id");
    assert!(make("parallel", &[("pad", 16), ("end", 16)]).is_err(), "one id twice");
}

proptest! {
    #[test]
    fn any_cuts_give_the_same_frames(
        layout in 0..LAYOUTS.len(),
        codes in proptest::collection::vec(proptest::collection::vec(1..16u16, 7), 0..20),
        cuts in proptest::collection::vec(1..9usize, 1..5),
        marked: bool,
    ) {
        let (name, codebooks) = LAYOUTS[layout];
        let format = format(name, codebooks);
        let frames: Vec<_> = codes.iter().map(|f| f[..codebooks].to_vec()).collect();
        let tokens = pack(&format, &frames, marked);
        let found = unpack(&format, &tokens, &cuts, OnBadToken::Refuse).expect("tokens of ours");
        prop_assert_eq!(found.0, frames.into_iter().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn no_tokens_panic_and_cuts_do_not_matter(
        layout in 0..LAYOUTS.len(),
        tokens in proptest::collection::vec(
            prop_oneof![4 => -3..140i64, 1 => any::<i64>(), 2 => 128_266..128_340i64], 0..120),
        cuts in proptest::collection::vec(1..9usize, 1..5),
    ) {
        let (name, codebooks) = LAYOUTS[layout];
        let format = format(name, codebooks);
        let whole = unpack(&format, &tokens, &[usize::MAX], OnBadToken::Conceal).expect("nothing is refused");
        let cut = unpack(&format, &tokens, &cuts, OnBadToken::Conceal).expect("nothing is refused");
        prop_assert!(whole.0.len() <= tokens.len());
        prop_assert_eq!(whole, cut);
        unpack(&format, &tokens, &cuts, OnBadToken::Refuse).ok();
    }
}
