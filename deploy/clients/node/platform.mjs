// Stands for your ad platform's API: values in a JSON file.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

export class FilePlatform {
  constructor(file) { this.file = file; }

  async read(target, what) { return this.values()[`${target.id}/${what}`] ?? null; }

  async write(target, what, value) {
    writeFileSync(`${this.file}.new`, JSON.stringify({ ...this.values(), [`${target.id}/${what}`]: value }));
    renameSync(`${this.file}.new`, this.file);
  }

  // Before the first write there is no file.
  values() { return existsSync(this.file) ? JSON.parse(readFileSync(this.file, 'utf8')) : {}; }
}
