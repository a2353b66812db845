// Where two texts differ, word by word.

// Each word of `text`, and whether it is none of the longest sequence that both have; an empty word
// stands where `text` lacks one.
export const differing = (reference, text) => {
  const common = Array.from({ length: reference.length + 1 }, () => new Array(text.length + 1).fill(0));
  for (let i = reference.length - 1; i >= 0; i--)
    for (let j = text.length - 1; j >= 0; j--)
      common[i][j] = reference[i] === text[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  const words = [];
  let i = 0, j = 0, lacking = 0, others = [];
  // What lies between two common words: a word in place of another is one difference, not two.
  const close = () => {
    const empty = new Array(Math.max(0, lacking - others.length)).fill("");
    words.push(...[...others, ...empty].map(word => ({ word, differs: true })));
    [lacking, others] = [0, []];
  };
  while (i < reference.length || j < text.length) {
    if (i < reference.length && j < text.length && reference[i] === text[j]) {
      close();
      words.push({ word: text[j++], differs: false });
      i++;
    } else if (j < text.length && (i === reference.length || common[i][j + 1] >= common[i + 1][j])) {
      others.push(text[j++]);
    } else {
      lacking++;
      i++;
    }
  }
  close();
  return words;
};
