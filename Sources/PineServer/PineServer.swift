// PineServer
