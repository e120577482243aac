// What is made of results: tables, and the parts of pages between markers.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../machine.mjs'

export function table(heads, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

/** Writes what differs; where only checking, says instead that it is stale and sets the exit code. */
export class Pages {
  #program
  #check

  constructor(program, check) {
    this.#program = program
    this.#check = check
  }

  /** A whole file. */
  put(path, text) {
    const full = join(root, path)
    if (existsSync(full) && readFileSync(full, 'utf8') === text) return
    if (this.#check) {
      process.stderr.write(`pages: ${path} is not up to date: run node ${this.#program}\n`)
      process.exitCode = 1
      return
    }
    writeFileSync(full, text)
    process.stdout.write(`${path}\n`)
  }

  /** What stands between <!-- name:begin --> and <!-- name:end -->. */
  replaceParts(path, parts) {
    let text = readFileSync(join(root, path), 'utf8')
    for (const [name, content] of Object.entries(parts)) {
      const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`]
      const [from, to] = [text.indexOf(begin), text.indexOf(end)]
      if (from < 0 || to < from) throw new Error(`${path} has no ${begin} … ${end}`)
      text = `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`
    }
    this.put(path, text)
  }
}
