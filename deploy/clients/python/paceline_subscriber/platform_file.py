"""Stands for your ad platform's API: values in a JSON file."""
import json, os

class FilePlatform:
    def __init__(self, file):
        self.file = file

    def read(self, target, what):
        return self.values().get(f"{target['id']}/{what}")

    def write(self, target, what, value):
        values = {**self.values(), f"{target['id']}/{what}": value}
        with open(self.file + ".new", "w") as f:
            json.dump(values, f)
        os.replace(self.file + ".new", self.file)

    def values(self):  # before the first write there is no file
        return json.load(open(self.file)) if os.path.exists(self.file) else {}
