//! Tokenizers and templates of masked diffusion models: small folders of the families LLaDA, Dream, SDAR, Fast-dLLM v2
//! and A2D, with ids that the Python libraries give.

use drdiff_data::{ChatTemplate, Message, Tokenizer, TokenizerFiles};
use serde_json::Value;

#[test]
fn ids_masks_and_turns_are_those_of_the_originals() {
    for name in ["llada", "dream", "sdar", "fast_dllm_v2", "a2d_qwen3"] {
        let path = format!("{}/tests/families/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let family: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let file = |key: &str| (!family[key].is_null()).then(|| family[key].to_string().into_bytes());
        let files = TokenizerFiles {
            tokenizer_json: file("tokenizer.json").unwrap(),
            tokenizer_config: file("tokenizer_config.json"),
            config: file("config.json"),
            generation_config: file("generation_config.json"),
            ..TokenizerFiles::default()
        };
        let tokenizer = Tokenizer::from_files(&files).unwrap();
        let golden = &family["golden"];
        let ids = |value: &Value| serde_json::from_value::<Vec<u32>>(value.clone()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();

        let plain = tokenizer.encode(&text(&golden["plain"]["text"])).unwrap();
        assert_eq!(plain, ids(&golden["plain"]["ids"]), "{name}");
        let masked = &golden["user_text_with_mask"];
        let typed = tokenizer.encode(&text(&masked["text"])).unwrap();
        assert_eq!(typed, ids(&masked["ids_when_they_are_not"]), "{name}");
        assert_eq!(
            tokenizer.mask().map(u64::from),
            family["mask_token_id"].as_u64(),
            "{name}"
        );
        // From names alone, too.
        let alone = Tokenizer::from_bytes(&files.tokenizer_json).unwrap();
        assert_eq!(
            (alone.mask(), alone.end_of_text()),
            (tokenizer.mask(), tokenizer.end_of_text()),
            "{name}"
        );

        let chat = &golden["chat"];
        let messages: Vec<Message> = serde_json::from_value(chat["messages"].clone()).unwrap();
        let template = ChatTemplate::from_files(&files, &tokenizer).unwrap();
        assert_eq!(
            template.render_text(&messages, true).unwrap(),
            text(&chat["text"]),
            "{name}"
        );
        assert_eq!(template.render(&messages, true).unwrap(), ids(&chat["ids"]), "{name}");
        let said = template
            .render(&[Message::new("user", text(&masked["text"]))], true)
            .unwrap();
        assert!(tokenizer.mask().is_some_and(|mask| !said.contains(&mask)), "{name}");
        assert!(tokenizer.stop_tokens().len() == 2 && tokenizer.fits(320), "{name}");
    }
}
