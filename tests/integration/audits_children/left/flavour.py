FLIP = False
