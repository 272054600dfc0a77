//! Texts cut into quarters, to see whether they decay as they go on.

use super::{Text, TextSet};

impl TextSet {
    /// The `index`-th quarter (from 0) of each text, behind its prompt and the quarters before it. Quarters are equal in bytes and
    /// cut between words.
    #[must_use]
    pub fn quarter(&self, index: usize) -> Self {
        let texts = self.texts.iter().map(|whole| {
            let [from, to] = [index, index + 1].map(|at| border(&whole.text, at));
            Text {
                prompt: Some(whole.prompt.clone().unwrap_or_default() + &whole.text[..from]),
                text: whole.text[from..to].to_owned(),
                stop_reason: None,
            }
        });
        Self {
            name: self.name.clone(),
            texts: texts.collect(),
            malformed: Vec::new(),
        }
    }
}

/// Where the `index`-th quarter of a text begins, in bytes: at the first white space from there on.
fn border(text: &str, index: usize) -> usize {
    let wanted = text.len() * index / 4;
    let spaces = text.char_indices().filter(|(_, character)| character.is_whitespace());
    let at = spaces.map(|(at, _)| at).find(|at| *at >= wanted);
    match index {
        0 => 0,
        _ => at.unwrap_or(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_the_text_in_order() {
        let texts = ["one two three four five six", "ä b ü", "", "word"];
        let set = TextSet {
            texts: texts
                .map(|text| Text {
                    prompt: Some("Once".to_owned()),
                    text: text.to_owned(),
                    stop_reason: None,
                })
                .to_vec(),
            ..TextSet::default()
        };
        let quarters: Vec<TextSet> = (0..4).map(|index| set.quarter(index)).collect();
        for (index, text) in texts.iter().enumerate() {
            let joined: String = quarters.iter().map(|set| set.texts[index].text.as_str()).collect();
            assert_eq!(joined, *text);
            let last = &quarters[3].texts[index];
            let prompt = last.prompt.clone().unwrap();
            assert_eq!(format!("{prompt}{}", last.text), format!("Once{text}"));
        }
        assert_eq!(quarters[1].texts[0].text, " three");
    }
}
