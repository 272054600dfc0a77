// A block that becomes clear: what is known of its positions after each event.

export class Block {
  constructor(size) {
    this.open = Array.from({ length: size }, () => ({ text: "·", p: 0, committed: false, known: false, step: 0 }));
  }

  /** Takes in an event with provisional text. */
  step(event) {
    for (const position of event.reabsorbed) this.at(position).committed = false;
    for (const [position, , text, p, committed] of event.set) {
      Object.assign(this.at(position), { text, p, committed, known: true, step: event.step });
    }
  }

  at(position) {
    while (this.open.length <= position) this.open.push({ text: "·", p: 0, committed: false, known: false, step: 0 });
    return this.open[position];
  }

  /** Its tokens, if together they are the text. */
  tokens(text) {
    const tokens = this.open.filter((token) => token.committed);
    const whole = tokens.map((token) => token.text).join("");
    if (whole === text) return tokens;
    if (whole === ` ${text}`) return [{ ...tokens[0], text: tokens[0].text.slice(1) }, ...tokens.slice(1)];
    return null;
  }

  /** Shows it: masks, words that may still change, paler the less sure they are, and words that stay. */
  show(element) {
    const spans = this.open.map((token) => {
      const span = document.createElement("span");
      span.textContent = token.text;
      span.className = token.committed ? "made" : token.known ? "draft" : "open";
      // Paler words are less sure; all can be read.
      if (token.p >= 0.5) span.classList.add("sure");
      return span;
    });
    element.replaceChildren(...spans);
  }
}
