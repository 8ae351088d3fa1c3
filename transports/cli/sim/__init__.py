"""``streamcore sim``: the whole engine in virtual time, against a model server, while everything breaks."""
