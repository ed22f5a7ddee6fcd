//! Alignment of phonemes to words, where the phonemes of a phrase differ from those of its words alone.

/// For every character of `whole` the index of its word; blanks have none. `alone` holds the phonemes of each word spoken
/// by itself. The edit path of the least Levenshtein distance from the words to the phrase decides.
pub(crate) fn align_words(alone: &[String], whole: &[char]) -> Vec<Option<usize>> {
    let source: Vec<(char, usize)> = alone
        .iter()
        .enumerate()
        .flat_map(|(i, w)| w.chars().filter(|c| !c.is_whitespace()).map(move |c| (c, i)))
        .collect();
    let target: Vec<(usize, char)> =
        whole.iter().copied().enumerate().filter(|(_, c)| !c.is_whitespace()).collect();
    let width = target.len() + 1;
    // Quadratic in the phonemes of one clause: at most 700 by 700 (MAX_PHONEMES).
    let mut cost = vec![0u32; (source.len() + 1) * width];
    for i in 0..=source.len() {
        for j in 0..width {
            cost[i * width + j] = match (i, j) {
                (0, _) => j as u32,
                (_, 0) => i as u32,
                _ => {
                    let same = u32::from(source[i - 1].0 != target[j - 1].1);
                    let both = cost[(i - 1) * width + j - 1] + same;
                    both.min(cost[(i - 1) * width + j] + 1).min(cost[i * width + j - 1] + 1)
                }
            };
        }
    }
    let mut found = vec![None; whole.len()];
    // From the end back along the cheapest way, which gives each phoneme of the phrase its word.
    let (mut i, mut j) = (source.len(), target.len());
    while j > 0 {
        let here = cost[i * width + j];
        // Matches and replacements are preferred, so that phonemes stay with the word at their place.
        if i > 0 && here == cost[(i - 1) * width + j - 1] + u32::from(source[i - 1].0 != target[j - 1].1) {
            found[target[j - 1].0] = Some(source[i - 1].1);
            (i, j) = (i - 1, j - 1);
        } else if i > 0 && here == cost[(i - 1) * width + j] + 1 {
            i -= 1;
        } else {
            // An inserted phoneme, such as a linking sound, goes with the one before it.
            found[target[j - 1].0] = source.get(i.saturating_sub(1)).map(|s| s.1);
            j -= 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_grow_together_are_told_apart() {
        let alone = ["ʌv", "ðə", "twˈɛnti wˈʌn"].map(str::to_owned);
        let whole: Vec<char> = "əvðə twˈɛnti wˈʌn".chars().collect();
        let found = align_words(&alone, &whole);
        let expected: Vec<Option<usize>> =
            [vec![Some(0); 2], vec![Some(1); 2], vec![None], vec![Some(2); 7], vec![None], vec![Some(2); 4]]
                .concat();
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_belongs_to_nothing() {
        assert_eq!(align_words(&[], &['a', ' ']), [None, None]);
        assert!(align_words(&["a".to_owned()], &[]).is_empty());
    }
}
