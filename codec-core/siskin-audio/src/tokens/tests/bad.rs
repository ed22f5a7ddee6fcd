//! Bad tokens: refused with the place, or concealed without the loss of anything else.

use super::*;

fn concealed(
    name: &str,
    codebooks: usize,
    damage: impl Fn(&mut Vec<i64>),
) -> (Vec<usize>, usize, Vec<TokenError>) {
    let format = format(name, codebooks);
    let frames = frames(codebooks, 8);
    let mut tokens = pack(&format, &frames, false);
    damage(&mut tokens);
    let (found, faults) = unpack(&format, &tokens, &[3], OnBadToken::Conceal).expect("nothing is refused");
    let lost = found.iter().enumerate().filter(|(_, f)| f.is_none()).map(|(t, _)| t).collect();
    for (t, frame) in found.iter().enumerate() {
        if let Some(frame) = frame {
            assert_eq!(*frame, frames[t], "frame {t} of {name}");
        }
    }
    (lost, found.len(), faults)
}

#[test]
fn a_token_out_of_range_costs_its_frame_alone() {
    for (name, codebooks) in LAYOUTS {
        for value in [-7, 1 << 40] {
            let (lost, count, faults) = concealed(name, codebooks, |tokens| {
                let middle = tokens.len() / 2;
                tokens[middle] = value;
            });
            // Where ids tell their slot a foreign token may as well be one too many: its place shows as missing.
            assert!(lost.len() <= 1 && count == 8, "{name}: {lost:?} of {count}, {faults:?}");
            let passed = matches!(name, "moshi") || name.starts_with("columns") || name == "csm";
            assert!(!faults.is_empty() || passed, "{name}");
        }
    }
}

#[test]
fn refused_tokens_change_nothing() {
    for (name, codebooks) in LAYOUTS {
        let format = format(name, codebooks);
        let frames = frames(codebooks, 8);
        let tokens = pack(&format, &frames, true);
        let mut unpacker = Unpacker::new(format.clone(), OnBadToken::Refuse);
        let (mut found, mut refused) = (Vec::new(), 0);
        let mut keep = |unit: Unit<'_>| {
            match unit {
                Unit::Frame(codes) => found.push(codes.to_vec()),
                Unit::Text { .. } => {}
                other => unreachable!("{name}: {other:?}"),
            }
            Ok(())
        };
        for (at, token) in (0..).zip(&tokens) {
            match unpacker.push_tokens(&[-7], &mut keep) {
                Err(crate::Error::Token(e)) => {
                    refused += 1;
                    assert_eq!(unpacker.token_count(), at, "{e}");
                    unpacker.push_tokens(&[*token], &mut keep).expect("the right token");
                }
                // A column that is not looked at: the token has been taken in place of the right one.
                other => other.expect("a bad token or one that is passed over"),
            }
        }
        unpacker.finish_stream(&mut keep).expect("the end");
        assert_eq!(found, frames, "{name}");
        assert!(refused >= 8 * codebooks, "{name}: {refused}");
    }
}

#[test]
fn the_error_says_where_and_what() {
    let format = format("flat", 4);
    let refused = |tokens: &[i64]| {
        let error = unpack(&format, tokens, &[1], OnBadToken::Refuse).expect_err("bad tokens");
        let crate::Error::Token(error) = error else { unreachable!("{error}") };
        error
    };
    let (codebook, low, high) = (1, 16, 31);
    assert_eq!(refused(&[3, 900]), TokenError::Range { position: 1, codebook, value: 900, low, high });
    assert_eq!(refused(&[3, 20, 50]), TokenError::Order { position: 2, found: 3, due: 2 });
    assert_eq!(refused(&[3, 20]), TokenError::Incomplete { frame: 0, missing: 2, codebooks: 4 });
    let end = format.special_ids().end();
    assert_eq!(refused(&[3, 20, 40, 50, end, 1]), TokenError::AfterEnd { position: 5 });
    let pad = format.special_ids().pad();
    let text = refused(&[3, pad]).to_string();
    assert_eq!(text, "token 1 is 64, the special id \"pad\", where codebook 1 has a code");
}

#[test]
fn a_missing_token_costs_one_frame_where_ids_tell_their_slot() {
    for at in 8..28 {
        let (lost, count, faults) = concealed("flat", 4, |tokens| {
            tokens.remove(at);
        });
        assert_eq!((lost, count), (vec![at / 4], 8), "token {at}: {faults:?}");
    }
    for at in 7..49 {
        let (lost, count, _) = concealed("snac:10", 7, |tokens| {
            tokens.remove(at);
        });
        assert_eq!((lost, count), (vec![at / 7], 8), "token {at}");
    }
}

#[test]
fn a_token_too_many_costs_nothing_where_ids_tell_their_slot() {
    let (lost, count, faults) = concealed("flat:50", 4, |tokens| tokens.insert(9, 7));
    assert_eq!((lost.len(), count, faults.len()), (0, 8, 1), "{faults:?}");
}

#[test]
fn codes_that_are_not_generated_yet_cost_their_frames() {
    let format = format("delayed", 4);
    let frames = frames(4, 8);
    let mut tokens = pack(&format, &frames, true);
    let pad = format.special_ids().pad();
    // Codebook 2 of frame 3 is in row 5.
    tokens[5 * 4 + 2] = pad;
    let (found, faults) = unpack(&format, &tokens, &[2], OnBadToken::Conceal).expect("nothing is refused");
    assert_eq!(found.iter().filter(|f| f.is_none()).count(), 1);
    assert!(found[3].is_none() && found.len() == 8);
    assert_eq!(faults, [TokenError::Incomplete { frame: 3, missing: 1, codebooks: 4 }]);
    // A whole frame that is missing shows once another comes.
    for k in 0..4 {
        tokens[(5 + k) * 4 + k] = pad;
    }
    let (found, _) = unpack(&format, &tokens, &[2], OnBadToken::Conceal).expect("nothing is refused");
    assert_eq!(found.iter().map(Option::is_none).collect::<Vec<_>>()[3..6], [true, false, true]);
}

#[test]
fn a_stream_cut_short_keeps_its_whole_frames() {
    for (name, codebooks) in LAYOUTS {
        let format = format(name, codebooks);
        let frames = frames(codebooks, 8);
        let tokens = pack(&format, &frames, false);
        let before = tokens.len() - 1;
        let (found, faults) =
            unpack(&format, &tokens[..before], &[4], OnBadToken::Conceal).expect("nothing is refused");
        // Without its length a coarse-first clip cannot be told from a shorter one.
        let expected = if name.starts_with("coarse") { 0 } else { 7 };
        let trailing_other = matches!(format.layout(), Layout::Matrix { .. }) && found.len() == 8;
        assert!(found.len() == expected || trailing_other, "{name}: {}", found.len());
        assert!(!faults.is_empty() || trailing_other, "{name}: {faults:?}");
    }
}

#[test]
fn codes_of_another_shape_are_refused() {
    let format = format("parallel", 4);
    let mut packer = Packer::new(format.clone());
    for codes in [&[1, 2, 3][..], &[1, 2, 3, 4, 5], &[1, 2, 3, 16]] {
        let error = packer.push_frame(codes, &mut Vec::new()).expect_err("no frame");
        assert!(matches!(error, crate::Error::Token(_)), "{error}");
    }
    assert!(Format::new(0, 16, Layout::parallel(0), &BTreeMap::new()).is_err());
    assert!(Format::new(3, 16, Layout::parallel(4), &BTreeMap::new()).is_err());
    let mut packer = Packer::new(self::format("csm", 4));
    let error = packer.push_frame(&[0; 4], &mut Vec::new()).expect_err("it would be the end");
    assert!(matches!(error, crate::Error::Token(TokenError::Reserved { frame: 0 })), "{error}");
}

#[test]
fn what_cannot_stream_is_bounded() {
    let mut unpacker = Unpacker::new(format("coarse-first", 4), OnBadToken::Conceal);
    assert!(unpacker.set_frames(u64::MAX).is_err());
    let piece = vec![3; 1 << 20];
    let mut result = Ok(());
    for _ in 0..5 {
        result = result.and_then(|()| unpacker.push_tokens(&piece, &mut |_| Ok(())));
    }
    let error = result.expect_err("more than is held");
    assert!(matches!(error, crate::Error::Token(TokenError::TooLong { .. })), "{error}");
}
