FLIP = True
