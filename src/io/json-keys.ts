/** The first key that occurs twice in one object of a valid JSON text; undefined if there is none. JSON.parse keeps the
 *  last of them without a word, so that two readers of one file can see different values. */
export function duplicateKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [] // the keys seen in each open object; undefined for an array
  for (let i = 0; i < json.length; i++) {
    const c = json[i]
    if (c === '{') open.push(new Set())
    else if (c === '[') open.push(undefined)
    else if (c === '}' || c === ']') open.pop()
    else if (c === '"') {
      const end = endOfString(json, i)
      if (isKey(json, end)) {
        const key: string = JSON.parse(json.slice(i, end))
        const seen = open.at(-1)
        if (seen?.has(key)) return key
        seen?.add(key)
      }
      i = end - 1
    }
  }
  return undefined
}

function endOfString(json: string, start: number): number {
  let i = start + 1
  while (json[i] !== '"') i += json[i] === '\\' ? 2 : 1
  return i + 1
}

function isKey(json: string, end: number): boolean {
  while (' \t\n\r'.includes(json[end]) && end < json.length) end++
  return json[end] === ':'
}
