// Texts as nobody's shop sends them, unless somebody else writes them: each would be seen to act if it were more than text.

export const HOSTILE = [
  "<script>document.title='owned'</script>",
  "\"><img src=https://evil.example.net/x onerror=\"document.title='owned'\">",
  "' onmouseover='document.title=1'",
  "</title></style><svg/onload=document.title='owned'>",
  "\u202egnp.exe\u2066 مرحبا",
];

/** The text again and again, as often as goes into that many bytes. */
export function repeated(text, bytes) {
  return text.repeat(Math.floor(bytes / Buffer.byteLength(text)));
}
